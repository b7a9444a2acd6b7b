//! Scripts compared with what `sigtool --html-normalise` makes of them.

use super::{Source, normalise};

#[track_caller]
fn check(script: &str, want: &str) {
    let text = script.replace('\n', " ").into_bytes();
    let got = normalise(&[Source { text: &text, encoded: false }]);
    let got = String::from_utf8_lossy(&got).into_owned();
    assert_eq!(got, format!("<script>{want}</script>"), "{script}");
}

/// Each output was given by sigtool.
#[rustfmt::skip]
const GOLDEN: &[(&str, &str)] = &[
    ("var x=1+2;alert(\"A\"+\"b\")", "var n000=1+2;alert(\"ab\")"),
    ("var a=1,b=2;c=a+b;", "var n000=1,n001=2;c=n000+n001;"),
    ("function foo(x,y){var z=x+y;return z+w}foo(1,2);", "function n000(n001,n002){var n003=n001+n002;return n003+w}foo(1,2);"),
    ("var x;function f(x){x=1;function g(y){x=y;var x}}x=2", "var n000;function n001(n002){n002=1;function n003(n004){n005=n004;var n005}}n000=2"),
    ("a.b.c(d);a[\"b\"]", "a.b.c(d);a[\"b\"]"),
    ("x=0x1F;y=012;z=1.50;w=1e3;v=.5;u=5.;t=1.5e-7;s=123456789012345678901;r=0.0001;q=100000000.0;",
     "x=0 x1f;y=12;z=1.5;w=1 e3;v=.5;u=5;t=1.5e-07;s=-1;r=0.0001;q=1e+08;"),
    (r#"x="a\x41\u0042\n\t\0\'\"\\\z""#, "x=\"aab  \x01'\"\\z\""),
    ("x='a'+'b'+c+'d'+'e'", "x=\"ab\"+c+\"de\""),
    ("x=(\"a\"+\"b\")+\"c\"", "x=(\"ab\")+\"c\""),
    ("x=unescape(\"%41%u0042%zz\")", "x=\"ab%zz\""),
    ("unescape(\"%41\"+\"%42\")", "\"ab\""),
    ("a /* c */ b // d\n e;", "a b d e;"),
    ("if(a)b;else c;for(i in x);while(1);do;return;typeof x;new Y;delete z;void 0;this.x;var in1;",
     "if(a)b;else c;for(i in x);while(1);do;return;typeof x;new y;delete z;void 0;this.x;var n000;"),
    ("a++ + ++b;a- -b;a---b;a+ +b;", "a+++++b;a--b;a---b;a++b;"),
    ("x=/re gex/gi;y=a/b/c;", "x=/re gex/gi;y=a/b/c;"),
    ("a<=b;a>=b;a===b;a!==b;a&&b||c;a>>>b;a<<=1;a?b:c;", "a<=b;a>=b;a===b;a!==b;a&&b||c;a>>>b;a<<=1;a?b:c;"),
    ("try{a}catch(e){b(e)}finally{c}", "try{a}catch(e){b(e)}finally{c}"),
    ("var s=\"A'b\";var t='A\"b'", "var n000=\"a'b\";var n001=\"a\"b\""),
    ("function(a){a}", "function(n000){n000}"),
    ("var f=function g(h){g(h)}", "var n000=function n001(n002){n001(n002)}"),
    ("x={a:1,\"b\":2}", "x={a:1,\"b\":2}"),
    ("const C=1;let L=2;C+L;", "const c=1;let l=2;c+l;"),
    ("var Abc=1;ABC=2;Abc=3;", "var n000=1;abc=2;n000=3;"),
    ("x=\"a\"  \"b\"", "x=\"a\"\"b\""),
    ("$x=1;_y=2;var $z,_w;$z;_w;", "$x=1;_y=2;var n000,n001;n000;n001;"),
    ("x\u{e9}y=1;\"\u{e9}\"", "x y=1;\"\u{e9}\""),
    ("@#`", ""),
    ("<!-- foo\nbar;", "<!--foo bar;"),
    ("var a;var a;var b;a;b;", "var n001;var n001;var n002;n001;n002;"),
    ("f(a);function f(b){}var a;", "f(n002);function n000(n001){}var n002;"),
    ("for(var i=0;i<1;i++){i}", "for(var n000=0;n000<1;n000++){n000}"),
    ("x=\"\\101\\7\"", "x=\"1017\""),
    ("1 .x;1..x;1.x;", "1.x;1.x;1 x;"),
    ("a b c \"d\" e \"f\" 1 2 \"g\" 3 .5;", "a b c\"d\"e\"f\"1 2\"g\"3.5;"),
    ("\"a\"+1+\"b\"", "\"a\"+1+\"b\""),
    ("\"A\" + \n \"B\"+ /*x*/ \"C\"", "\"abc\""),
    ("unescape ( \"%41\" )", "\"a\""),
    ("eval( unescape(\"%61lert(1)\") )", "alert(1)"),
    ("eval(\"a\"+\"lert(2)\")", "alert(2)"),
    ("IF(a)Var b;", "if(a)var b;"),
    ("x=4294967296;y=2147483648;z=00;w=9223372036854775807;", "x=0;y=-2147483648;z=0;w=-1;"),
    ("var a=1 b=2,c=3;c;", "var n000=1 b=2,n001=3;n001;"),
    ("var a=f(b,c),d;b;c;d;", "var n000=f(b,n001),n002;b;n001;n002;"),
    ("var a={b:c,d:e},g;b;d;e;g;", "var n000={b:c,d:e},n001;b;d;e;n001;"),
    ("for(var i in o){i;o}", "for(var n000 in o){n000;o}"),
    ("function(){var a}a;", "function(){var n000}a;"),
    ("var a;{var b}b;", "var n000;{var n001}n001;"),
    ("var f=1;function f(){f()}f();", "var n000=1;function n001(){n001()}n000();"),
    ("eval(function(p,a,c,k,e,r){e=String;return p}('0 1=\"2 3\"',4,4,'var|x|hello|world'.split('|'),0,{}))",
     "eval(function(n000,n001,n002,n003,n004,n005){n004=string;return n000}(var n006=\"hello world\"))"),
    ("dF(\"%264Dc%264F1\")", "</script><b>"),
    ("eval(\"a(1);\");c;", "a(1);c;"),
    ("window.eval(\"q(1)\")", "window.eval(\"q(1)\")"),
    ("a.unescape(\"%41\")", "a.unescape(\"%41\")"),
    ("unescape(\"%4\"+\"1\")+\"x\"+unescape(\"%42\")", "\"a\"+\"x\"+\"b\""),
    ("x='\\x'", "x=\"\\\""),
    ("x='\\u12'", "x=\"\\12\""),
    ("unescape(\"%u20ac%00\")", "\"\u{20ac}\x01\""),
    ("var a;a.a;a[a];{a:a}", "var n000;n000.a;n000[n000];{n000:n000}"),
    ("x=\"</scr\"+\"ipt>\"", "x=\"</script>\""),
    ("http://foo/bar baz;", "http:baz;"),
    ("x=\"\\v\\b\\f\\r\"", "x=\" \x08  \""),
    ("1.5.2;", "1.5.2;"),
    ("{var x=38,b=1;x;b;}", "{var n000=38,b=1;n000;b;}"),
    ("var q=[1,w,e],r;q;w;e;r;", "var n000=[1,w,e],n001;n000;w;e;n001;"),
    ("var q=f({a:b,c:d},e),g;q;b;d;e;g;", "var n000=f({a:b,c:d},n001),n002;n000;b;d;n001;n002;"),
    ("var q=1,w=function(a){},e=2;q;w;e;", "var n000=1,n001=function(n002){},n003=2;n000;n001;n003;"),
    ("var q=a[b,c],d;b;c;d;", "var n000=a[b,c],n001;b;c;n001;"),
    ("eval(\"a;\"),b;", "a;,b;"),
    ("eval(\"a;\")+b;", "a;+b;"),
    ("x;eval(\"a;\")}c", "x;a;}c"),
    ("eval(\"a;\");eval(\"b;\");c;d;", "a;b;c;d;"),
    ("eval(\"var x=1;\");var y=2;y;x", "var n001=1;var n000=2;n000;n001"),
    ("x=\"abc</script>", "x=\"abc</script>\""),
    ("a;//b</script>", "a;"),
    (r#"x="a\\";b="c";d</script>"#, "x=\"a\\\";b=\"c\";d</script>\""),
    (r#"x="a\\\"q";b="c";d"#, "x=\"a\\\"q\";b=\"c\";d"),
    (r#"x="a\x4";b;"#, "x=\"a\\\";b;"),
    (r#"x="a\u12";b;"#, "x=\"a\\12\";b;"),
    (r#"x="a\u12  phi";b;"#, "x=\"a\u{ffff}phi\";b;"),
    (r#"x="a\uz123b";b;"#, "x=\"a\u{123}b\";b;"),
    (r#"x="a\xg4c";b;"#, "x=\"a\u{4}c\";b;"),
    ("return 4294967295;a 1", "return -1;a 1"),
    ("foo</SCRIPT>", "foo"),
    ("f((1</script>", "f((1</script>))"),
    ("f)(</script>", "f)(</script>)"),
    ("f(\"a</script>", "f(\"a</script>\")"),
    ("eval(\"f(1;\");b</script>", "f(1;b"),
    ("a;</script ", "a;</script"),
];

#[test]
fn scripts_are_sigtools() {
    for (script, want) in GOLDEN {
        check(script, want);
    }
}

#[test]
fn unfinished_ends() {
    check("eval('var x=1')", "var n000=");
    check("eval(\"alert(1)\");b", "alert(1)b");
    check("x=eval(\"a\");", "x=");
    check("foo", "foo");
    check("eval(\"eval(\\\"q(1)\\\")\")", "q(1)");
    check("\"unterminated", "\"unterminated\"");
}

#[test]
fn scripts_stand_apart() {
    let source = |text| Source { text, encoded: false };
    let got = normalise(&[source(b"var a=1;a"), source(b""), source(b"a;var b;b")]);
    let want =
        "<script>var n000=1;n000</script>\n<script></script>\n<script>a;var n000;n000</script>";
    assert_eq!(String::from_utf8_lossy(&got), want);
}

/// Nested decoders end: at sixteen levels, or with the budget.
#[test]
fn decoders_are_bounded() {
    let mut script = String::from("alert(1)");
    for _ in 0..12 {
        script = format!("eval(\"{}\")", script.replace('\\', "\\\\").replace('"', "\\\""));
    }
    check(&script, "alert(1)");
    let words = "0 ".repeat(1000);
    let packed = format!(
        "eval(function(p,a,c,k,e,d){{}}('{}',62,1,'{words}'.split('|'),0,{{}}))",
        "0 ".repeat(100_000)
    );
    let got = normalise(&[Source { text: packed.as_bytes(), encoded: false }]);
    assert!(got.len() < 40 << 20);
}

#[test]
fn nothing_panics_on_random_scripts() {
    const FRAGMENTS: &[&str] = &[
        "var ",
        "function ",
        "f",
        "a",
        "(",
        ")",
        "{",
        "}",
        ";",
        ",",
        "+",
        "\"x\"",
        "'",
        "\\",
        "eval(",
        "unescape(",
        "%41",
        "1",
        ".",
        "1.5e",
        "/*",
        "*/",
        "//",
        " ",
        "p,a,c,k,e,d",
        ".split('|'),0,{}))",
        "\u{e9}",
    ];
    let mut state = 7_u32;
    for _ in 0..20_000 {
        let mut script = String::new();
        for _ in 0..20 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            script.push_str(FRAGMENTS[usize::try_from(state >> 8).unwrap_or(0) % FRAGMENTS.len()]);
        }
        let got = normalise(&[Source { text: script.as_bytes(), encoded: false }]);
        assert!(got.ends_with(b"</script>"));
    }
}
