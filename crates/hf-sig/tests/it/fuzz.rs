//! Nothing makes loading or explaining panic: valid lines of every language, mutated; and any bytes at all.

use hf_sig::{BytecodeChoice, IgnoreSet, LoadOptions, explain, load};
use proptest::{prelude::*, test_runner::RngSeed};

use crate::common::Nowhere;

/// Valid lines of every language.
const SEEDS: &[(&str, &str)] = &[
    ("x.db", "A=deadbeef*cafe"),
    ("x.hdb", "d41d8cd98f00b204e9800998ecf8427e:68:A:10:300"),
    ("x.fp", "d41d8cd98f00b204e9800998ecf8427e:*:A:73"),
    ("x.mdb", "1536:0123456789abcdef0123456789abcdef:Win.Made-1"),
    ("x.imp", "0123456789abcdef0123456789abcdef:*:A"),
    (
        "x.ndb",
        "A:1:EP+0,5:(B)60e8????????5d{4-10}81ab!(ed|ee)(61|6262|(6?|63))*de[1-2]beef(W):51:255",
    ),
    ("x.sdb", "A:0:$3:deadbeef"),
    (
        "x.ldb",
        "A;Engine:81-255,Target:1,FileSize:1-9,Container:CL_TYPE_ZIP,Intermediates:CL_TYPE_ZIP>CL_TYPE_PDF;\
         (0&1)&(2|3)>1,2&4&5&6;EP+0:558bec;4d5a::iwfa;${1-2}3$;S0+16:0/ev\\/[0-9]{3}(?=a)\\d/i;\
         0(>>5#ib2#>0x10,<200);fuzzy_img#af2ad01ed42993c7;6162*63[2]6465??",
    ),
    ("x.zmd", "A:0:\\.exe$:5:6:deadbeef:1:2:3"),
    ("x.cfg", "PE:0x1:1:300"),
    ("x.wdb", "X:.+\\.a\\.com([/?].*)?:.+\\.b\\.com([/?].*)?:17-"),
    ("x.pdb", "H:example.com:10-20"),
    ("x.ftm", "1:*:3c68{3-9}6d6c3e:HTML data:CL_TYPE_ANY:CL_TYPE_HTML:51"),
    ("x.ign2", "Abc:d41d8cd98f00b204e9800998ecf8427e"),
    ("x.cdb", "A:CL_TYPE_ZIP:1-9:\\.(jpg|pdf)[a-z]{2}\\.exe$:*:*:1:*:*:*:51"),
    ("x.pwdb", "A;Engine:81-255,Container:CL_TYPE_ZIP;1;736563"),
    ("x.yar", "rule a { strings: $a = \"x\\\"rule\" $b = /a\\/b/ condition: $a } // rule"),
    ("x.cbc", "ClamBCag`|acbacfdf`c``abhc`:4096\nA.{};Engine:56-255,Target:1;0;dead"),
    ("x.crb", "A;1;d41d8cd98f00b204e9800998ecf8427ed41d8cd9;;d41d;01;1;0;1;0;c;10;300"),
    (
        "x.ioc",
        "<ioc id=\"a\"><Content type=\"md5\">d41d8cd98f00b204e9800998ecf8427e</Content></ioc>",
    ),
    ("x.cat", "x"),
    ("x.info", "x"),
    ("x.cud", "ClamAV-VDB:t:1:1:1:X:X:me:5"),
];

/// A change to a text: where, what is taken out, what is put in.
type Change = (prop::sample::Index, usize, Vec<u8>);

fn change() -> impl Strategy<Value = Change> {
    let letters = prop::sample::select(
        b"0123456789abcdef?*(){}[]|!:;,#<>=&/\\$-+.wifaBLW\n\r \0\xff".to_vec(),
    );
    (any::<prop::sample::Index>(), 0usize..4, prop::collection::vec(letters, 0..4))
}

fn mutated(seed: &str, changes: &[Change]) -> Vec<u8> {
    let mut bytes = seed.as_bytes().to_vec();
    for (place, taken, put) in changes {
        let at = place.index(bytes.len() + 1);
        let end = (at + taken).min(bytes.len());
        bytes.splice(at..end, put.iter().copied());
    }
    bytes
}

fn run(name: &str, bytes: &[u8]) {
    for keep_going in [false, true] {
        let options = LoadOptions {
            keep_going,
            bytecode: BytecodeChoice::All,
            official: true,
            ..LoadOptions::default()
        };
        let mut out = Nowhere::default();
        match load(name, bytes, &options, &mut IgnoreSet::default(), &mut out) {
            Ok(summary) => {
                for warning in &summary.warnings {
                    assert!(!warning.render().is_empty());
                }
            }
            Err(rejected) => assert!(!rejected.diagnostic.render().is_empty()),
        }
    }
    let text = String::from_utf8_lossy(bytes);
    if let Ok(words) = explain(name, &text) {
        assert!(!words.is_empty());
    }
}

#[test]
fn seeds_are_valid() {
    for (name, seed) in SEEDS {
        if name.ends_with(".info") || name.ends_with(".cud") {
            continue;
        }
        if let Err(diagnostic) = explain(name, seed) {
            panic!("{}", diagnostic.render());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, rng_seed: RngSeed::Fixed(0x5107), ..ProptestConfig::default() })]

    #[test]
    fn mutated_lines(seed in 0..SEEDS.len(), changes in prop::collection::vec(change(), 0..6)) {
        let (name, text) = SEEDS[seed];
        run(name, &mutated(text, &changes));
    }

    #[test]
    fn any_bytes(seed in 0..SEEDS.len(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        run(SEEDS[seed].0, &bytes);
    }
}
