//! Signatures as text with the counts and places that clamscan 1.4.6 finds, read off one by one;
//! where it departs from what is documented, both are in the table.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::ops::ControlFlow;

use hf_core::{
    ExeKind, ExeSection, ExeView, Facts, FileType, IconMetrics, Limits, ScanOptions, Stop, Target,
};
use hf_match::{MatchHit, Matcher, PackBuilder, Scope, Scratch, Subject};
use hf_pack::{Pack, PackMeta, PackWriter};
use hf_sig::{IgnoreSet, LoadOptions};

#[derive(Default)]
struct Known {
    exe: Option<ExeView>,
    ancestors: Vec<FileType>,
    image_hash: Option<[u8; 8]>,
}

impl Facts for Known {
    fn exe(&self) -> Option<&ExeView> {
        self.exe.as_ref()
    }
    fn icons(&self) -> &[IconMetrics] {
        &[]
    }
    fn image_hash(&self) -> Option<[u8; 8]> {
        self.image_hash
    }
    fn ancestors(&self) -> &[FileType] {
        &self.ancestors
    }
}

fn matcher(files: &[(&str, &str)]) -> Matcher {
    let mut builder = PackBuilder::new();
    for (name, text) in files {
        let mut ignore = IgnoreSet::default();
        let options = LoadOptions::default();
        hf_sig::load(name, text.as_bytes(), &options, &mut ignore, &mut builder).unwrap();
    }
    let writer = PackWriter::new(std::io::Cursor::new(Vec::new()));
    let bytes = builder.finish(writer, PackMeta::default()).unwrap().into_inner();
    Matcher::open(vec![Pack::from_bytes(&bytes).unwrap()]).unwrap()
}

fn subject<'a>(object: &'a [u8], target: Option<Target>, facts: &'a Known) -> Subject<'a> {
    let (options, limits) = (ScanOptions::default(), Limits::default());
    Subject::new(object, target, FileType::BinaryData, facts, &options, &limits)
}

fn scan(matcher: &Matcher, subject: &Subject<'_>) -> Vec<MatchHit> {
    let mut hits = Vec::new();
    let mut on_hit = |hit| {
        hits.push(hit);
        ControlFlow::Continue(())
    };
    matcher.scan(subject, &mut Scratch::new(), &mut on_hit, &mut || Ok(())).unwrap();
    hits
}

fn names(hits: &[MatchHit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.name.as_str()).collect()
}

/// In front of every object of the tables, as in the runs of clamscan.
const START: &[u8] = b"\0\x01\x02\x03\xff\xfe\xfd\x80\x81\0";

/// Checks how often member 1 matches, `zzzz` being member 0.
#[track_caller]
fn count(sub: &str, object: &[u8], want: u32) {
    let line = |k: u32| format!("C{k};Engine:81-255,Target:0;0&(1={k});7a7a7a7a;{sub}");
    let lines: Vec<String> = (0..8).map(line).collect();
    let matcher = matcher(&[("t.ldb", &(lines.join("\n") + "\n"))]);
    let object = [START, b"zzzz ", object].concat();
    let facts = Known::default();
    let hits = scan(&matcher, &subject(&object, None, &facts));
    assert_eq!(names(&hits), [format!("C{want}")], "{sub}");
}

#[test]
fn bodies_are_counted() {
    count("6161", b"aaaa", 3);
    count("6161*6262", b"aabb", 1);
    count("6161*6262", b"aabbbb", 3);
    count("6161*6262", b"aaaabb", 1);
    count("6161*6262", b"aaxxbbxxaaxxbb", 2);
    count("6161{-4}6262", b"aabbbbbb", 5);
    count("6161{-1}6262", b"aaaaaabb", 1);
    count("6161*6262*6363", b"aabbccbbcc", 2);
    count("6465(61|6162)62", b"deab", 1);
    count("!(61|62)6363", b"acc bcc ccc", 2);
    count("6363!(6162|6263)6464", b"ccabdd cczzdd ccbcdd", 1);
    count("78797a(L)", b"xyz\r\nxyz\rxyz\n", 2);
    count("7879!(L)7a7a", b"xy\r\nzz xy\rzz xy\nzz xyazz xyabzz", 2);
    count("78797a(W)::w", b"x\0y\0z\0a\0 x\0y\0z\0 \0 x\0y\0z\0aa", 2);
    count("7878(7979|7a)::i", b"xxyy XXYY XXyY XXZ", 4);
    count("78784?::i", b"xxA xxa xxI xxi", 2);
    count("6162::wa", b"ab\0\0a\0b\0 ab", 3);
    count("6262[1-1]61{2-2}6363", b"bbxa..cc bbxacc", 1);
    count("6262{2-2}61[1-1]6363", b"bb..axcc bbaxcc", 1);
}

#[test]
fn expressions_are_counted_from_their_offset() {
    count("0/ab/", b"ab ab ab", 1);
    count("0/ab/g", b"ab ab ab", 3);
    count("15:0/ab/", b"ab ab ab", 1);
    count("16:0/ab/", b"ab ab ab", 0);
    count("14:0/ab/", b"ab ab ab", 0);
    count("14:0/ab/r", b"ab ab ab", 1);
    count("15:0/ab/g", b"abab ab", 2);
    count("14:0/ab/rg", b"ab ab ab", 3);
    count("16:0/ab/rg", b"ab ab ab", 2);
    count("14,1:0/ab/", b"ab ab ab", 1);
    count("16,1:0/ab/", b"ab ab ab", 0);
    count("16,2:0/ab/g", b"ab ab ab", 1);
    count("16,9:0/ab/g", b"ab ab ab", 2);
    count("14,4:0/ab/g", b"ab ab ab", 2);
    count("14,2:0/ab/e", b"ab ab ab", 0);
    count("14,3:0/ab/e", b"ab ab ab", 1);
    count("14,6:0/ab/eg", b"ab ab ab", 2);
    count("14,6:0/ab$/e", b"ab ab ab", 1);
    count("15:0/^ab/", b"ab ab ab", 1);
    count("15:0/(?<= )ab/", b"ab ab ab", 0);
    count("EOF-2:0/ab/", b"ab ab ab", 1);
    count("EOF-4:0/ab/r", b"ab ab ab", 1);
    count("*:0/ab/A", b"ab ab ab", 0);
    count("0/ab$/mg", b"ab\nab\nab\n", 3);
    count("0/ab$/E", b"ab\nab\nab\n", 0);
    count("0>1/ab/", b"ab", 0);
    count("0/a\\Kb/g", b"ab ab", 2);
    count("0/(a+)+$/", &[&[b'a'; 40][..], b"b"].concat(), 0);
}

/// Checks a macro after `aaaa` whose group holds `bbbb`, as documented and as clamscan does.
#[track_caller]
fn macros(sub: &str, object: &[u8], documented: bool, quirk: bool) {
    let logical = format!("M;Engine:81-255,Target:0;0&1;61616161;{sub}\n");
    let matcher = matcher(&[("t.ldb", &logical), ("t.ndb", "X:0:$5:62626262\n")]);
    let object = [START, object].concat();
    let facts = Known::default();
    for (clamav_quirks, want) in [(false, documented), (true, quirk)] {
        let subject = Subject { clamav_quirks, ..subject(&object, None, &facts) };
        let hits = scan(&matcher, &subject);
        assert_eq!(!hits.is_empty(), want, "{sub} {object:?} quirks {clamav_quirks}");
    }
}

#[test]
fn macros_match_at_their_distance() {
    macros("${0-10}5$", b"aaaa.bbbb.", true, false);
    macros("${0-10}5$", b"aaaa.bbbb.aaaa.", true, true);
    macros("${0-4}5$", b"aaaa.bbbb.aaaa.aaaa.", false, false);
    macros("${5-5}5$", b"aaaa.bbbb.aaaa.aaaa.", true, true);
    macros("${6-9}5$", b"aaaa.bbbb.aaaa.aaaa.", false, false);
    macros("${0-10}5$", b"bbbb.aaaa.aaaa.", false, false);
    macros("${0-10}6$", b"aaaa.bbbb.aaaa.aaaa.", false, false);
    macros("${0-20}5$", b"aaaa.aaaa.bbbb.", true, false);
}

#[test]
fn byte_comparison_needs_several_parts_under_the_quirk() {
    let facts = Known::default();
    let object = [START, b"ab1ab2xxab3"].concat();
    for (more, want) in [("", false), ("\nN;Engine:81-255,Target:7;0;7171*7171", true)] {
        let text = format!("K;Engine:100-255,Target:7;0&1;6162;0(>>2#ib1#>0x30){more}\n");
        let matcher = matcher(&[("t.ldb", &text)]);
        let plain = subject(&object, Some(Target::ASCII), &facts);
        let quirks = Subject { clamav_quirks: true, ..plain };
        assert_eq!(names(&scan(&matcher, &plain)), ["K"]);
        assert_eq!(!scan(&matcher, &quirks).is_empty(), want);
    }
}

#[test]
fn byte_comparison_with_an_expression_never_holds_under_the_quirk() {
    let facts = Known::default();
    let object = [START, b"abc5\x07zz"].concat();
    let text = "K;Engine:100-255,Target:0;0&1&2;616263;0/c5/;1(>>2#ib1#=7)\n\
                N;Engine:100-255,Target:0;0&1&(2=0);616263;0/c5/;1(>>2#ib1#=7)\n\
                P;Engine:81-255,Target:0;0;7171*7171\n";
    let matcher = matcher(&[("t.ldb", text)]);
    let plain = subject(&object, None, &facts);
    assert_eq!(names(&scan(&matcher, &plain)), ["K"]);
    assert_eq!(names(&scan(&matcher, &Subject { clamav_quirks: true, ..plain })), ["N"]);
}

fn executable(len: usize) -> Known {
    let section = |raw_off, raw_len| ExeSection { raw_off, raw_len, ..ExeSection::default() };
    let exe = ExeView {
        kind: ExeKind::Pe,
        is_64: false,
        entry_off: Some(64),
        sections: vec![section(0, 32), section(32, len as u64 - 32)],
        version_key_offs: vec![40],
        overlay_off: None,
        import_string: None,
    };
    Known { exe: Some(exe), ..Known::default() }
}

#[test]
fn offsets_are_kept() {
    let mut object = vec![b'.'; 128];
    object[64..68].copy_from_slice(b"abcd");
    object[40..44].copy_from_slice(b"abcd");
    let facts = executable(object.len());
    let cases = [
        ("EP+0", true),
        ("EP-24", true),
        ("EP-4", false),
        ("EP-4,4", true),
        ("EP-4,3", false),
        ("S1+32", true),
        ("S1+31", false),
        ("S2+0", false),
        ("SE0", false),
        ("SE1", true),
        ("SL+8", true),
        ("EOF-64", true),
        ("EOF-60", false),
        ("EOF-4000", false),
        ("VI", true),
        ("64", true),
        ("65", false),
        ("60,4", true),
    ];
    for (offset, want) in cases {
        let text = format!("L;Engine:81-255,Target:1;0;{offset}:61626364\n");
        let body = format!("B:1:{offset}:61626364\n");
        let matcher = matcher(&[("t.ldb", &text), ("t.ndb", &body)]);
        let found = scan(&matcher, &subject(&object, Some(Target::PE), &facts));
        let want: &[&str] = if want { &["B", "L"] } else { &[] };
        assert_eq!(names(&found), want, "{offset}");
        assert!(scan(&matcher, &subject(&object, Some(Target::ELF), &facts)).is_empty());
    }
}

#[test]
fn target_descriptions_are_kept() {
    let object = [START, b"abcd"].concat();
    let in_mail_in_zip =
        Known { ancestors: vec![FileType::Zip, FileType::Mail], ..Known::default() };
    let alone = Known::default();
    let cases = [
        ("FileSize:14-14", true, true),
        ("FileSize:15-20", false, false),
        ("Container:CL_TYPE_MAIL", false, true),
        ("Container:CL_TYPE_ZIP", false, false),
        ("Container:CL_TYPE_ANY", true, false),
        ("Intermediates:CL_TYPE_ZIP>CL_TYPE_MAIL", false, true),
        ("Intermediates:CL_TYPE_MAIL", false, true),
        ("Intermediates:CL_TYPE_MAIL>CL_TYPE_ZIP", false, false),
    ];
    for (description, want_alone, want_inside) in cases {
        let text = format!("L;Engine:81-255,{description},Target:0;0;61626364\n");
        let matcher = matcher(&[("t.ldb", &text)]);
        for (facts, want) in [(&alone, want_alone), (&in_mail_in_zip, want_inside)] {
            let found = scan(&matcher, &subject(&object, None, facts));
            assert_eq!(!found.is_empty(), want, "{description}");
        }
    }
}

#[test]
fn hits_come_in_their_order() {
    let ldb = "G;Engine:81-255,Target:0;0;6364\nP;Engine:81-255,Target:1;0;6162\n\
               R;Engine:81-255,HandlerType:CL_TYPE_ZIP,Target:1;0;6162\n";
    let ndb = "Late:1:*:787878\nEarly:0:*:61626364\n";
    let matcher = matcher(&[("t.ldb", ldb), ("t.ndb", ndb)]);
    let object = [START, b"abcd xxx"].concat();
    let facts = Known::default();
    let pe = subject(&object, Some(Target::PE), &facts);
    let hits = scan(&matcher, &pe);
    assert_eq!(names(&hits), ["Early", "Late", "P", "R", "G"]);
    assert_eq!(hits[3].handler, Some(FileType::Zip));
    assert_eq!(hits[0].origin, "t.ndb:2");
    assert_eq!((hits[0].spans[0].off, hits[0].spans[0].len), (10, 4));
    assert_eq!(hits[0].spans[0].bytes, b"abcd");
    let own = Subject { scope: Scope::TargetOnly, ..pe };
    assert_eq!(names(&scan(&matcher, &own)), ["Late", "P", "R"]);
    let any = Subject { scope: Scope::AnyOnly, ..pe };
    assert_eq!(names(&scan(&matcher, &any)), ["Early", "G"]);
    let again = Subject { file_type: FileType::Zip, ..pe };
    assert_eq!(names(&scan(&matcher, &again)), ["Early", "Late", "P", "G"]);
}

#[test]
fn first_hit_and_deadline_end_a_scan() {
    let matcher = matcher(&[("t.ndb", "A:0:*:61626364\nB:0:*:61626364*6263\n")]);
    let object = b"abcd".repeat(1 << 20);
    let facts = Known::default();
    let subject = subject(&object, None, &facts);
    let mut first = |_| ControlFlow::Break(());
    let found = matcher.scan(&subject, &mut Scratch::new(), &mut first, &mut || Ok(()));
    assert_eq!(found, Err(Stop::Found));
    let mut polls = 0;
    let mut poll = || {
        polls += 1;
        if polls > 2 { Err(Stop::Deadline) } else { Ok(()) }
    };
    let mut all = |_| ControlFlow::Continue(());
    let ended = matcher.scan(&subject, &mut Scratch::new(), &mut all, &mut poll);
    assert_eq!(ended, Err(Stop::Deadline));
}

#[test]
fn images_are_found_by_their_hash() {
    let text = "I;Engine:150-255,Target:5;0;fuzzy_img#af2ad01ed42993c7#0\n";
    let matcher = matcher(&[("t.ldb", text)]);
    assert!(matcher.has_image_hash_signatures() && !matcher.needs_icons());
    let image_hash = Some([0xaf, 0x2a, 0xd0, 0x1e, 0xd4, 0x29, 0x93, 0xc7]);
    let facts = Known { image_hash, ..Known::default() };
    assert_eq!(names(&scan(&matcher, &subject(START, Some(Target::GRAPHICS), &facts))), ["I"]);
    let other = Known { image_hash: Some([0; 8]), ..Known::default() };
    assert!(scan(&matcher, &subject(START, Some(Target::GRAPHICS), &other)).is_empty());
}

#[test]
fn the_same_signatures_make_the_same_pack() {
    let text: String = (0..200)
        .map(|n| {
            format!("S{n};Engine:81-255,Target:{};0&1;{n:08x}ff{n:06x};6162*{n:010x}\n", n % 3)
        })
        .collect();
    let build = || {
        let mut builder = PackBuilder::new();
        let options = LoadOptions::default();
        let mut ignore = IgnoreSet::default();
        hf_sig::load("t.ldb", text.as_bytes(), &options, &mut ignore, &mut builder).unwrap();
        let writer = PackWriter::new(std::io::Cursor::new(Vec::new()));
        builder.finish(writer, PackMeta::default()).unwrap().into_inner()
    };
    assert_eq!(build(), build());
}
