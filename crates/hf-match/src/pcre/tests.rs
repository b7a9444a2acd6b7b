use super::*;

#[track_caller]
fn check(pattern: &str, flags: &str, object: &[u8], want: &[(usize, usize)]) {
    let flags = PcreFlags {
        caseless: flags.contains('i'),
        dot_all: flags.contains('s'),
        multi_line: flags.contains('m'),
        extended: flags.contains('x'),
        anchored: flags.contains('A'),
        dollar_end_only: flags.contains('E'),
        ungreedy: flags.contains('U'),
        ..PcreFlags::default()
    };
    let regex = Pcre::new(pattern.as_bytes(), flags).unwrap();
    let mut haystack = Haystack::new(object);
    let (mut found, mut from) = (Vec::new(), 0);
    while let Some((start, end)) = regex.find(&mut haystack, from, false) {
        found.push((start, end));
        from = end.max(start + 1);
        if from > object.len() {
            break;
        }
    }
    assert_eq!(found, want, "{pattern}");
}

#[test]
fn bytes_and_classes() {
    check(r"\xe9x", "i", b"\xe9x \xc9x \xe9X", &[(0, 2), (6, 8)]);
    check(r"[^\x00-\x7f]", "", b"a\x80\xffb", &[(1, 2), (2, 3)]);
    check(r"\w+", "", b"ab \xe9 cd", &[(0, 2), (5, 7)]);
    check(r"[]a]+", "", b"x]a]", &[(1, 4)]);
    check(r"[[:alpha:]-]+", "", b"1a-b2", &[(1, 4)]);
    check(r"a.b", "", b"a\nb a\rb", &[(4, 7)]);
    check(r"a.b", "s", b"a\nb", &[(0, 3)]);
    check(r"[a-c&&d]+", "", b"a&d", &[(0, 3)]);
    check(r"\101\x{42}\Q.*\E", "", b"AB.*", &[(0, 4)]);
    check(r"\h\H\v", "", b"\xa0x\x0b", &[(0, 3)]);
}

#[test]
fn repetitions() {
    check(r"a{,2}b", "", b"a{,2}b ab", &[(0, 6)]);
    check(r"a{2,}", "", b"a aa aaa", &[(2, 4), (5, 8)]);
    check(r"a.+b", "U", b"axbxb", &[(0, 3)]);
    check(r"a.+?b", "U", b"axbxb", &[(0, 5)]);
    check(r"x{", "", b"x{", &[(0, 2)]);
    check(r"a++b", "", b"aab", &[(0, 3)]);
    check(r"a++ab", "", b"aab", &[]);
}

#[test]
fn anchors() {
    check(r"ab$", "", b"ab\nab\n", &[(3, 6)]);
    check(r"ab$", "E", b"ab\nab\n", &[]);
    check(r"ab$", "m", b"ab\nab\n", &[(0, 2), (3, 5)]);
    check(r"(?:ab$|x)\n", "", b"ab\n", &[(0, 3)]);
    check(r"ab\Z", "", b"ab\n", &[(0, 3)]);
    check(r"\bab\b", "", b"ab \xe9ab\xe9", &[(0, 2), (4, 6)]);
    check(r"(?<=\xe9)\bab\b", "", b"ab \xe9ab\xe9", &[(4, 6)]);
    check(r"a", "A", b"ba", &[]);
}

#[test]
fn groups() {
    check(r"(?i)ab(?-i)C", "", b"ABC abc", &[(0, 3)]);
    check(r"(?i:a)b", "", b"Ab AB", &[(0, 2)]);
    check(r"a b # c", "x", b"ab", &[(0, 2)]);
    check(r"(a|b)\1", "", b"ab bb", &[(3, 5)]);
    check(r"(?P<n>.)(?P=n)", "", b"abb", &[(1, 3)]);
    check(r"a(?=b)", "", b"ab ac", &[(0, 1)]);
    check(r"(?<!\x80)a", "", b"\x80a a", &[(3, 4)]);
    check(r"(?>a+)b(?#x)", "", b"aab", &[(0, 3)]);
    check(r"a\Kb", "", b"ab", &[(1, 2)]);
    check(r"\Rab", "", b"\r\nab \rab", &[(0, 4), (5, 8)]);
}

#[test]
fn what_cannot_be_run_is_refused() {
    for pattern in
        ["", "(", "a)", "(?R)", "(?(1)a)", "(*FAIL)", r"\p{L}", "[a", "*", r"\1", "[b-a]"]
    {
        assert!(check_pcre(pattern.as_bytes(), PcreFlags::default()).is_err(), "{pattern}");
    }
    let large = b"((a{1000}){1000}){1000}";
    assert!(check_pcre(large, PcreFlags::default()).is_err());
}

#[test]
fn backtracking_is_bounded() {
    let mut object = vec![b'a'; 4000];
    object.push(b'!');
    check(r"(?=(a+)+$)b|(x+x+)+\2y", "", &object, &[]);
    let gives_up = |pattern: &str| {
        let regex = Pcre::new(pattern.as_bytes(), PcreFlags::default()).unwrap();
        let mut haystack = Haystack::new(&object);
        assert_eq!(regex.find(&mut haystack, 0, false), None, "{pattern}");
        haystack.gave_up
    };
    assert!(gives_up(r"(a+)+\1?!!?(?=b)"));
    assert!(!gives_up(r"b(a)\1"));
}

#[test]
fn outlines_match_wherever_the_expression_does() {
    type Case<'a> = (&'a str, &'a [u8], &'a [(usize, usize)]);
    let cases: [Case<'_>; 12] = [
        (r"(\w)\1", b"abba", &[(1, 3)]),
        (r"/\*\s+(\w)\1", b"// /* ab /* bb", &[(9, 14)]),
        (r"a(?=b)(?!bc)..", b"abc abd", &[(4, 7)]),
        (r"(?>a+)b", b"aac aab", &[(4, 7)]),
        (r"a++b", b"aac aab", &[(4, 7)]),
        (r"x\Ky(?<=xy)", b"y xy", &[(3, 4)]),
        (r"(a)\1$|c", b"aa\n", &[(0, 2)]),
        (r"(\d)\1\b", b"112 33", &[(4, 6)]),
        (r"w(\d{1,3})s\1c", b"w12s1c w12s12c", &[(7, 14)]),
        (r"(?i)(ab|c)-\1", b"ab-c aB-Ab", &[(5, 10)]),
        (r"(ab)(?i)-\1", b"ab-Ab", &[(0, 5)]),
        (r"((a|b)\2)-\1", b"ab-ab bb-bb", &[(6, 11)]),
    ];
    for (pattern, object, want) in cases {
        check(pattern, "", object, want);
        let tree = parse::parse(pattern.as_bytes(), PcreFlags::default()).unwrap();
        assert!(emit::emit(&tree, Dialect::Automaton).is_none(), "{pattern}");
        assert!(emit::emit(&tree, Dialect::Outline).is_some(), "{pattern}");
    }
}
