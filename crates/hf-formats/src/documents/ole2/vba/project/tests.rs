use super::*;

fn record(id: u16, data: &[u8]) -> Vec<u8> {
    let len = u32::try_from(data.len()).expect("short").to_le_bytes();
    [&id.to_le_bytes()[..], &len, data].concat()
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn dir(page: u16, more: &[u8]) -> Vec<u8> {
    let mut dir = record(1, &3u32.to_le_bytes());
    dir.extend(record(0x4a, &7u32.to_le_bytes()));
    dir.extend(record(2, &0x407u32.to_le_bytes()));
    dir.extend(record(3, &page.to_le_bytes()));
    dir.extend(record(4, b"N\xe4me"));
    dir.extend(record(6, b"c:\\help.hlp"));
    dir.extend(record(0x3d, b"c:\\help.hlp"));
    dir.extend(record(7, &5u32.to_le_bytes()));
    dir.extend([9, 0, 4, 0, 0, 0, 0x61, 0, 0, 0, 7, 0]);
    dir.extend(record(0x0f, &1u16.to_le_bytes()));
    dir.extend(record(0x19, b"One"));
    dir.extend(record(0x47, &wide("One")));
    dir.extend(record(0x1a, b"One"));
    dir.extend(record(0x32, &wide("Oneq")));
    dir.extend(record(0x1c, b""));
    dir.extend(record(0x48, b""));
    dir.extend(record(0x31, &17u32.to_le_bytes()));
    dir.extend_from_slice(more);
    dir.extend(record(0x1e, &0x77u32.to_le_bytes()));
    dir.extend(record(0x2c, &0xffffu16.to_le_bytes()));
    dir.extend(record(0x22, b""));
    dir.extend(record(0x28, b""));
    dir.extend(record(0x2b, b""));
    dir.extend(record(0x10, b""));
    dir
}

#[test]
fn a_project_as_clamscan_shows_it() {
    let source = |place: &Place| {
        assert_eq!((place.text_off, place.stream_wide.as_str()), (17, "Oneq"));
        Ok(Some(b"Sub  A()\r\n".to_vec()))
    };
    let got = text(&dir(1252, b""), source).expect("no stop").expect("a text");
    let want = "REM VBA project extracted from Microsoft Office document\n\n\
                REM PROJECTSYSKIND: Windows 64 bit\nREM PROJECTLCID: 0x00000407\n\
                REM PROJECTCODEPAGE: 0x04e4\nREM PROJECTNAME: Näme\n\
                REM PROJECTHELPFILEPATH: c:\\help.hlp\n\
                REM PROJECTHELPFILEPATH2: <error decoding string>\n\
                REM PROJECTHELPCONTEXT: 0x0005\nREM PROJECTVERSION: 97.7\nREM PROJECTMODULES: 1\n\n\n\
                REM MODULENAME: One\nREM MODULENAMEUNICODE: One\n\
                REM MODULESTREAMNAME: One\nREM MODULESTREAMNAMEUNICODE: Oneq\n\
                REM WARNING: MODULESTREAMNAME and MODULESTREAMNAMEUNICODE differ\n\
                REM MODULEDOCSTRING: \nREM MODULEDOCSTRINGUNICODE: \n\
                REM MODULEOFFSET: 0x00000011\nREM MODULEHELPCONTEXT: 0x00000077\n\
                REM MODULECOOKIE: 0xffff\nREM MODULETYPE: Class\nREM MODULEPRIVATE\n\
                REM ##################################################\nsub a()\r\n";
    assert_eq!(String::from_utf8_lossy(&got), want);
}

#[test]
fn records_out_of_order_end_it() {
    let none = |_: &Place| Ok(None);
    assert_eq!(text(&dir(1252, &record(0x98, b"zz")), none).expect("no stop"), None);
}

#[test]
fn a_source_that_is_no_text_of_its_page_is_told() {
    let source = |_: &Place| Ok(Some(b"\x81".to_vec()));
    for page in [1252, 7] {
        let got = text(&dir(page, b""), source).expect("no stop").expect("a text");
        assert!(got.ends_with(b"#\n\n<Error decoding module data>\n"), "{page}");
    }
}

#[test]
fn sources_are_normalised_as_by_clamscan() {
    let table: &[(&str, &str)] = &[
        (
            "Sub  Open() ' A\r\n\tX = \"A  B\"  & _\r\n   \"C\"\r\n",
            "sub open() ' a\r\n x = \"A  B\" & \"C\"\r\n",
        ),
        ("A_\r\nB _\nC\r\n", "a_\r\nb c\r\n"),
        ("E  _\r\n  F\t_\r\n\tG\r\n  \r\n\t\tH \t I\r\n", "e f g\r\n \r\nh i\r\n"),
        ("\"S\tT  U _\r\n V\" X  _\r\n_\r\n Y\r\nK _", "\"S T  U _\r\n V\" x y\r\nk _"),
        (
            "P _ Q\r\nP _  Q R\r\nP _\"Q\" R\r\nP __ Q\r\n",
            "p _ q\r\np _ q r\r\np _\"Q\" r\r\np __ q\r\n",
        ),
        (
            "P _ _\r\nQ\r\nP _\n\nQ\r\nA\r\n _\r\n B\r\n_\r\nC",
            "p _ q\r\np \nq\r\na\r\n b\r\n_\r\nc",
        ),
        ("A \r\n  B\r\nC \n D\r\nE \r\n_\r\nF\r\n", "a \r\nb\r\nc \nd\r\ne \r\nf\r\n"),
    ];
    for (source, want) in table {
        let mut got = Vec::new();
        normalise(source.as_bytes(), &mut got);
        assert_eq!(String::from_utf8_lossy(&got), *want);
    }
}
