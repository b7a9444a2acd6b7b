use super::*;

#[track_caller]
fn check(file: &str, line: &str, want: &str) {
    let got = explain(file, line).unwrap_or_else(|diagnostic| panic!("{}", diagnostic.render()));
    let want: Vec<&str> = want.lines().map(|line| line.strip_prefix('|').unwrap_or(line)).collect();
    let got: Vec<&str> = got.lines().collect();
    assert_eq!(got, want);
}

#[test]
fn digests() {
    check(
        "x.hdu",
        "00112233445566778899aabbccddeeff:68:PUA.Win.A-1",
        "PUA.Win.A-1: MD5 of a whole object, potentially unwanted
|  digest 00112233445566778899aabbccddeeff
|  of exactly 68 bytes",
    );
    check(
        "x.imp",
        "00112233445566778899aabbccddeeff:*:A",
        "A: MD5 of the imports of a PE
|  digest 00112233445566778899aabbccddeeff
|  of any size",
    );
}

#[test]
fn patterns() {
    check(
        "x.ndb",
        "A:1:EP-4,5:(B)68656c6c6f{2-9}77??7?6f72{200}646c",
        "A: pattern in PE executables (target 1)
|  starts at the entry point - 4, or up to 5 bytes behind it
|  (word boundary) 68656c6c6f \"hello\"
|  then, 2 to 9 bytes later
|  77??7?6f72 \"w..or\"
|  then, 200 bytes later
|  646c \"dl\"",
    );
}

#[test]
fn patterns_of_every_item() {
    check(
        "x.ndb",
        "A:0:*:7765776f7?(61|62)!(63|64)(65|6666)*de[1-2]beef(L)*beef[3]aa",
        "A: pattern in any object (target 0)
|  starts anywhere
|  7765776f7? [61 | 62] [none of 63 | 64] [65 | 6666 \"ff\"] \"wewo.~~~\"
|  then, any number of bytes later
|  de, 1 to 2 bytes, beef (line boundary)
|  then, any number of bytes later
|  beef, 3 bytes, aa",
    );
}

#[test]
fn logical_signatures() {
    check(
        "x.ldb",
        "A;Engine:81-255,Target:0,FileSize:1-9,Container:CL_TYPE_ZIP;\
         0&(1|2)>1,2|3=0;6162::wi;*:dead;1:0/a.b/gi;0(>>5#ib2#>0x10,<200)",
        "A: logical signature in any object (target 0)
|  object size in bytes: 1 to 9
|  inside of CL_TYPE_ZIP
|  matches when 0 and (1 or 2) more than 1 time by at least 2 different ones or 3 exactly 0 times
|  0: pattern, starts anywhere
|     letters in either case, 16-bit characters:
|     61006200 \"a.b.\"
|  1: pattern, starts anywhere
|     dead
|  2: regular expression a.b
|     starts at byte 1, tried when 0, all matches are counted, letters in either case
|  3: 2 bytes at +5 from the last match of 0 are, as binary number (big endian), > 16 and < 200",
    );
}

#[test]
fn other_languages() {
    check(
        "x.cdb",
        r"A:CL_TYPE_ZIP:*:\.exe$:5-0:7:1:*:*:*",
        "A: member of CL_TYPE_ZIP
|  whose name matches \\.exe$
|  packed size at least 5
|  unpacked size 7
|  encrypted",
    );
    check(
        "x.ftm",
        "0:4:41425c1b:X:CL_TYPE_ANY:CL_TYPE_ELF",
        "X: magic of CL_TYPE_ELF
|  bytes 4 bytes into the object: 41425c1b \"AB\\.\"",
    );
    check("x.pwdb", "A;Engine:1-255;0;pass", "A: password for any archive\n|  70617373 \"pass\"");
    check(
        "x.ign2",
        "Abc:00112233445566778899aabbccddeeff",
        "Abc: signatures of this name are left out
|  if their line has the MD5 00112233445566778899aabbccddeeff",
    );
    check("x.cfg", "PE:0x41:1:255", "PE: parsers of this group\n|  are switched by the mask 0x41");
    check(
        "x.wdb",
        "M:a.com:b.com",
        "x.wdb: line of the list of allowed pairs of addresses
|  real and shown host: a.com : b.com",
    );
    check(
        "x.yar",
        "rule a { condition: true }",
        "x.yar: YARA rules\n|  rule a { condition: true }",
    );
    let icon = format!("A:G:H:20{}", "0".repeat(122));
    check(
        "x.idb",
        &icon,
        "A: icon of a PE
|  group G in the first column, H in the second
|  32 by 32 pixels
|  red 0 %, green 0 %, blue 0 %, coloured 0 %",
    );
}

#[test]
fn left_out_and_refused() {
    let left_out = "left out: it is not for this engine (functionality level, target or attribute)";
    check("x.ndb", "A:0:*:deadbeef:999", left_out);
    check("x.ndb", "# comment", "nothing is written here that an engine would use");
    assert_eq!(explain("x.ndb", "A:0:*:de").unwrap_err().code.id, "HF0202");
    assert_eq!(explain("x.txt", "A").unwrap_err().code.id, "HF0901");
}

#[test]
fn text_cannot_steer_a_terminal() {
    let text = explain("x.ndb", "A\u{1b}[2J:0:*:deadbeef").unwrap();
    assert!(!text.contains('\u{1b}'), "{text}");
}
