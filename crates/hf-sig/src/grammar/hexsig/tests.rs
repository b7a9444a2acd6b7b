use super::*;

fn mods(letters: &str) -> Modifiers {
    Modifiers {
        nocase: letters.contains('i'),
        wide: letters.contains('w'),
        fullword: letters.contains('f'),
        ascii: letters.contains('a'),
    }
}

/// Writes a body in a short notation of its own.
fn told(body: &Body) -> String {
    let mut text = String::new();
    for (idx, part) in body.parts.iter().enumerate() {
        if idx > 0 {
            let gap = body.gaps[idx - 1];
            let max = gap.max.map_or("~".to_owned(), |max| max.to_string());
            text += &format!(" <{},{max}> ", gap.min);
        }
        if let Some(r) = part.left {
            text += &format!("{}:{}-{} ", byte(r.value, r.mask), r.min, r.max);
        }
        text.extend(part.lead.iter().map(|e| format!("^{}", edge(*e))));
        text += &part.items.iter().map(item).collect::<String>();
        text.extend(part.trail.iter().map(|e| format!("{}$", edge(*e))));
        if let Some(r) = part.right {
            text += &format!(" {}:{}-{}", byte(r.value, r.mask), r.min, r.max);
        }
    }
    text
}

fn byte(value: u8, mask: u8) -> String {
    match mask {
        0xff => format!("{value:02x}"),
        0xf0 => format!("{:x}.", value >> 4),
        0x0f => format!(".{value:x}"),
        _ => "..".to_owned(),
    }
}

fn edge(edge: Edge) -> String {
    let letter = match edge.kind {
        EdgeKind::Word => 'B',
        EdgeKind::Line => 'L',
        EdgeKind::NonAlphanumeric => 'W',
    };
    format!("{}{letter}", if edge.negated { "!" } else { "" })
}

fn item(one: &Item) -> String {
    match one {
        Item::Byte { value, mask } => byte(*value, *mask),
        Item::Set { alternatives, negated } => {
            let words: Vec<String> = alternatives
                .iter()
                .map(|word| word.iter().map(|b| format!("{b:02x}")).collect())
                .collect();
            format!("{}[{}]", if *negated { "!" } else { "" }, words.join("|"))
        }
        Item::Any { alternatives } => {
            let words: Vec<String> =
                alternatives.iter().map(|run| run.iter().map(item).collect()).collect();
            format!("({})", words.join("|"))
        }
        Item::Edge(one) => edge(*one),
    }
}

#[track_caller]
fn good(text: &str, letters: &str, want: &[&str]) {
    let got = forms(Text::line(text.as_bytes()), mods(letters)).unwrap();
    let got: Vec<String> = got.iter().map(told).collect();
    assert_eq!(got, want, "{text}");
}

#[track_caller]
fn bad(text: &str, letters: &str, code: &str, at: std::ops::Range<usize>) {
    let got = forms(Text::line(text.as_bytes()), mods(letters)).unwrap_err();
    assert_eq!((got.code.id, got.at), (code, at), "{text}: {}", got.reason);
}

#[test]
fn bytes_and_wildcards() {
    good("dead", "", &["dead"]);
    good("DEad??b??f", "", &["dead..b..f"]);
    good("de?dadde", "", &["de.dadde"]);
    good("{4}dead{2}", "", &["........dead...."]);
    bad("de", "", "HF0202", 0..2);
    bad("de??ad", "", "HF0202", 0..6);
    bad("deadb", "", "HF0201", 4..5);
    bad("dead be", "", "HF0201", 4..6);
    bad("dead?", "", "HF0201", 4..5);
    bad("", "", "HF0203", 0..0);
    bad("dead|be", "", "HF0201", 4..6);
}

#[test]
fn gaps() {
    good("dead*beef", "", &["dead <0,~> beef"]);
    good("dead{4-8}beef{-3}aabb{5-}ccdd", "", &["dead <4,8> beef <0,3> aabb <5,~> ccdd"]);
    good("dead{127}beef", "", &[&format!("dead{}beef", "..".repeat(127))]);
    good("dead{128}beef", "", &["dead <128,128> beef"]);
    for unbounded in ["{}", "{-}", "{0}", "{0-0}", "{-0}", "{0-}"] {
        good(&format!("dead{unbounded}beef"), "", &["dead <0,~> beef"]);
    }
    good("dead{4-0}beef", "", &["dead <4,~> beef"]);
    good("dead{1}be{4-5}beef{1}adde", "", &["dead..be <4,5> beef <1,1> adde"]);
    good("dead{4-5}dead*beef{1}adde", "", &["dead <4,5> dead <0,~> beef <1,1> adde"]);
    good("dead*beef{1}ad", "", &["dead <0,~> beef..ad"]);
    good("dead{4-5}beef[1]aa{2}dead", "", &["dead <4,5> beef aa:1-1 <2,2> dead"]);
    bad("dead{4-5}beef{1}ad", "", "HF0202", 16..18);
    bad("*dead", "", "HF0203", 0..0);
    bad("dead*", "", "HF0203", 5..5);
    bad("dead**beef", "", "HF0203", 5..5);
    bad("dead{4-5}{6-7}beef", "", "HF0203", 9..9);
    bad("dead{x}beef", "", "HF0204", 5..6);
    bad("dead{4-8-9}beef", "", "HF0204", 7..10);
    bad("dead{4beef", "", "HF0204", 4..5);
    bad("dead{2147483648}beef", "", "HF0204", 5..15);
    bad("dead4}beef", "", "HF0201", 4..6);
    bad("dead{8-4}beef", "", "HF0903", 5..8);
    bad("dead{4-5}be", "", "HF0202", 9..11);
}

#[test]
fn anchors() {
    good("de[4]beef", "", &["de:4-4 beef"]);
    good("dead[0-32]?e", "", &["dead .e:0-32"]);
    good("de[4-]beef[1-2]aa*??[3]dead", "", &["de:4-4 beef aa:1-2 <0,~> ..:3-3 dead"]);
    good("de[4](B)deadbe", "", &["de:4-4 ^Bdeadbe"]);
    good("dead[4]{1}", "", &["dead ..:4-4"]);
    for text in ["dead[4]beef", "deadbe[4]", "[4]deadbe", "(de|ad)[4]deadbe", "deadbe[4](de|ad)"] {
        bad(text, "", "HF0205", 0..text.len());
    }
    bad("de[4]beef[4]de[4]de", "", "HF0205", 0..19);
    bad("de[4]be", "", "HF0202", 0..7);
    bad("dead[33]be", "", "HF0205", 5..7);
    bad("dead[5-4]be", "", "HF0205", 5..8);
    bad("dead[]be", "", "HF0205", 5..5);
    bad("dead[-4]be", "", "HF0205", 5..7);
    bad("dead[4be", "", "HF0205", 4..5);
}

#[test]
fn alternatives() {
    good("dead(be|ef)", "", &["dead[be|ef]"]);
    good("dead!(beef|aabb)cc", "", &["dead![beef|aabb]cc"]);
    good("dead(be|be|BE)", "", &["dead[be]"]);
    good("dead(be|efef)", "", &["dead(be|efef)"]);
    good("dead(b?|{2}|??)", "", &["dead(b.|....|..)"]);
    good("dead(be|ef(aa|bbcc))", "", &["dead(be|ef(aa|bbcc))"]);
    good("dead((be|ef))", "", &["dead([be|ef])"]);
    good("dead(be||ef|)", "", &["dead[be|ef]"]);
    good("dead(BB)", "", &["dead[bb]"]);
    good(
        &format!("dead{}be{}", "(".repeat(16), "|aa)".repeat(16)),
        "",
        &[&format!("dead{}[be|aa]{}", "(".repeat(15), "|aa)".repeat(15))],
    );
    bad(&format!("dead{}be{}", "(".repeat(17), "|aa)".repeat(17)), "", "HF0210", 20..21);
    bad("dead()", "", "HF0209", 4..5);
    bad("dead(|)", "", "HF0209", 4..5);
    bad("dead(be|ef", "", "HF0206", 4..5);
    bad("deadbeef)", "", "HF0206", 8..9);
    bad("dead(be*ef)", "", "HF0207", 7..8);
    bad("dead(be{4-5}ef|aa)", "", "HF0207", 7..12);
    bad("dead(be[4]ef|aa)", "", "HF0205", 7..8);
    bad("dead!(be|efef)", "", "HF0208", 5..14);
    bad("dead!(be|e?)", "", "HF0208", 5..12);
    bad("dead(!(be)|aa)", "", "HF0208", 5..6);
    bad("dead((B)|aa)", "", "HF0201", 6..8);
    bad("dead!be", "", "HF0201", 4..6);
    bad("dead(be|e)", "", "HF0201", 8..10);
    bad("(dead)(beef)", "", "HF0202", 0..12);
    bad("de(ad|be)ef", "", "HF0202", 0..11);
}

#[test]
fn boundaries() {
    good("(B)dead!(W)", "", &["^Bdead!W$"]);
    good("dead(L)beef", "", &["deadLbeef"]);
    good("(B)(L)dead(L)(W)", "", &["^BLdeadLW$"]);
    good("dead(B)*!(B)beef", "", &["deadB$ <0,~> !Bbeef"]);
    good("!(L)dead!(L)", "", &["!Ldead!L$"]);
    good("(B)!(L)dead", "", &["^B!Ldead"]);
    good("(B)??dead", "", &["^B..dead"]);
    bad("(B)", "", "HF0202", 0..3);
    bad("(X)dead", "", "HF0201", 1..3);
}

#[test]
fn modifiers() {
    good("dead", "w", &["de00ad00"]);
    good("dead", "wa", &["dead", "de00ad00"]);
    good("dead", "a", &["dead"]);
    good("de??ad", "w", &["de00..00ad00"]);
    good("dead{2}beef", "w", &["de00ad00....be00ef00"]);
    good("dead[1-2]beef", "w", &["de00ad00 <1,2> be00ef00"]);
    good("dead(be|efef)(B)", "w", &["de00ad00(be00|ef00ef00)B$"]);
    good("dead(be|ef)", "w", &["de00ad00[be00|ef00]"]);
    good("dead*beef", "f", &["^Wdead <0,~> beefW$"]);
    good("(B)dead!(L)", "f", &["^WBdead!LW$"]);
    good("deadbe[2]ad", "f", &["^Wdeadbe....adW$"]);
    bad("dead!(be|ef)", "w", "HF0208", 5..12);
    bad("dead!(be|ef)", "i", "HF0208", 5..12);
    bad("de[4]be", "f", "HF0202", 0..7);
    let body = &forms(Text::line(b"dead"), mods("iw")).unwrap()[0];
    assert!(body.nocase && body.wide);
}

#[test]
fn large_patterns_are_refused() {
    let text = format!("dead{}", "{127}".repeat(600));
    bad(&text, "", "HF0214", 0..text.len());
}
