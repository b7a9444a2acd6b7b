use super::*;
use crate::testing::Recorder;

fn children(text: &str) -> Vec<(String, String)> {
    let mut recorder = Recorder::default();
    recorder.run(&FORMAT, text.as_bytes()).expect("no limit");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    recorder.children().into_iter().map(|(name, data)| (text(name), text(data))).collect()
}

#[track_caller]
fn folds(text: &str, want: &str) {
    let all = children(text);
    assert!(all.iter().any(|(_, data)| data.contains(want)), "{want:?} is not in {all:#?}");
}

#[test]
fn vb() {
    folds("Dim a\nx = Chr(104) & Chr(&H74) & ChrW(100+16) & \"p\"\n", "x = \"http\"");
    folds("Set o = CreateObject(StrReverse(\"llehS.tpircSW\"))", "CreateObject(\"WScript.Shell\")");
    folds(
        "Dim s: s = \"WSc\"\ns = s & \"rip\" & _\r\n \"t.Sh\"\ns = s & \"ell\"\nCreateObject(s)",
        "WScript.Shell",
    );
    folds("Dim a ' don't\nShell(Replace(\"cXmXd\", \"X\", \"\"))", "Shell(\"cmd\")");
    folds("Dim a: a = Split(\"c|m|d|.exe\", \"|\"): Shell(Join(a, \"\"))", "cmd.exe");
}

#[test]
fn javascript() {
    folds("eval(String.fromCharCode(97,108,101,114,116))", "eval(\"alert\")");
    folds("var x='tr'+'ela'; eval(x.split('').reverse().join(''))", "eval(\"alert\")");
    folds("eval(unescape('%61%6c%65%72%74'))", "eval(\"alert\")");
    folds("var a = \"\\x57\\x53\\x63\\x72\\x69\\x70\\x74\";", "\"WScript\"");
    folds("new ActiveXObject('W'+'Scr'+'ipt'+'.Sh'+'ell')", "WScript.Shell");
    folds("w=atob('PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==')", "<script>alert(1)</script>");
}

#[test]
fn powershell() {
    folds("iex (\"{1}{0}\" -f 'load','Down')", "Download");
    folds("iex ('a-b-c-d' -replace '-','')", "\"abcd\"");
    folds("iex ([char]105+[char]101+[char]120)", "\"iex\"");
    folds("iex (-join([char[]](104,116,116,112)))", "http");
    folds("iex ([char[]](104,116,116,112) -join '')", "http");
    folds("iex ('ptth'[-1..-4] -join '')", "http");
    folds("i`e`x (n`e`w-ob`ject net.webclient) 'x'+'y'+'z'", "iex (new-object net.webclient)");
    folds(
        "$a='abc'; iex ([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('V3JpdGUtSG9zdA==')))",
        "Write-Host",
    );
    folds("powershell -nop -e dwBoAG8AYQBtAGkA", "whoami");
    folds("cmd /c powershell.exe -w hidden -EncodedCommand \"dwBoAG8AYQBtAGkA\"", "whoami");
}

#[test]
fn php_and_python() {
    folds("<?php eval(base64_decode('c3lzdGVtKCJpZCIpOw==')); ?>", "system(\"id\");");
    folds("<?php eval(str_rot13(strrev('rup')).'x');", "\"chex\"");
    folds("<?php $f='base'.'64_dec'.'ode'; eval($f('c3lzdGVtKCJpZCIpOw=='));", "system(\"id\");");
    folds(
        "<?php $x = 'c3lz'; $x .= 'dGVtKCJpZCIpOw=='; eval(base64_decode($x));",
        "system(\"id\");",
    );
    folds("import base64\nexec(base64.b64decode(b'cHJpbnQoMSkjIyM='))", "print(1)");
    folds("exec(__import__('codecs').decode('cevag(1)','rot13'))", "print(1)");
    folds("exec(bytes.fromhex('7072696e742831292020'))", "print(1)");
    folds("exec(')1(tnirp'[::-1])", "print(1)");
}

#[test]
fn shells_and_batch() {
    folds(
        "echo ZWNobyBoZWxsbyBmcm9tIHRoZSBzaGVsbDsgbHMgLWxh|base64 -d|sh",
        "echo hello from the shell; ls -la",
    );
    folds(
        "@echo off\r\nset a=powershell\r\nset b=xyhttp\r\n%a:~0,5%%a:~5% %b:~2,4%\r\n^c^m^d ^/^c w^h^o^a^m^i\r\n",
        "powershell http",
    );
    folds("@echo off\n^c^m^d ^/^c w^h^o^a^m^i\n", "cmd /c whoami");
}

fn pe() -> Vec<u8> {
    [b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0".as_slice(), &[7; 100]].concat()
}

#[track_caller]
fn gives(text: &str, want: &[u8]) {
    let mut recorder = Recorder::default();
    recorder.run(&FORMAT, text.as_bytes()).expect("no limit");
    let found = recorder.children().iter().any(|(_, data)| *data == want);
    assert!(found, "{:#?}", recorder.events);
}

#[test]
fn files() {
    use base64::Engine as _;
    let pe = pe();
    let packed = ::base64::engine::general_purpose::STANDARD.encode(&pe);
    gives(&format!("x = \"{packed}\""), &pe);
    let broken: String =
        packed.as_bytes().chunks(40).map(|line| String::from_utf8_lossy(line) + "\r\n  ").collect();
    gives(&format!("<a>{broken}</a>"), &pe);
    let lines: String =
        packed.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line) + "\n").collect();
    gives(&format!("base64 -d > /tmp/p <<EOF\n{lines}EOF\nchmod +x /tmp/p\n"), &pe);
    let backwards: String = packed.chars().rev().collect();
    gives(&format!("x = '{backwards}'"), &pe);
    let hex: String = pe.iter().map(|byte| format!("{byte:02x}")).collect();
    gives(&format!("'{hex}'"), &pe);
    let list: String = pe.iter().map(|byte| format!("{byte:02X},")).collect();
    gives(&format!("\"a\"=hex:{list}"), &pe);
    let list: String = pe.iter().map(|byte| format!("0x{byte:02X}, ")).collect();
    gives(&format!("[Byte[]] $x = {list}"), &pe);
    let list: Vec<String> = pe.iter().map(u8::to_string).collect();
    gives(&format!("new Uint8Array([{}])", list.join(",")), &pe);
    let halves = packed.split_at(50);
    gives(
        &format!(
            "var a='{}';a+='{}';b=new Blob([atob(a)]);msSaveOrOpenBlob(b)",
            halves.0, halves.1
        ),
        &pe,
    );
    gives(&format!("<svg xlink:href='data:application/zip;base64,{packed}'/>"), &pe);
}

#[test]
fn plain_text_gives_nothing() {
    assert_eq!(children("It is a text, with 'quotes' and (brackets) and base64 in words."), []);
    assert_eq!(children("var a = document.getElementById('x' + y); eval(a);"), []);
    let mut recorder = Recorder::default();
    recorder.options.clamav_quirks = true;
    assert!(!(FORMAT.enabled)(&recorder.options));
}

#[test]
fn hostile_text_ends() {
    for unit in [
        "(",
        "[",
        "chr(",
        "a+=\"b\"\n",
        "'a'+",
        "a=a+'b';",
        "\"",
        "strrev(",
        "-e ",
        "x.y.",
        "'\\x41'[0]",
        "%a%",
        "0M8R4KGx",
    ] {
        let text =
            format!("eval(powershell base64 -d @echo off {}", unit.repeat(200_000 / unit.len()));
        let started = std::time::Instant::now();
        let _ = children(&text);
        println!("{unit:?} {:?}", started.elapsed());
        assert!(started.elapsed().as_secs() < 20, "{unit}");
    }
}
