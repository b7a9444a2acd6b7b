//! Containers are built here, with keys made for these tests.

use std::io::Write as _;

use md5::{Digest as _, Md5};
use num_bigint::BigUint;
use sha2::Sha256;

use super::{keys::DIGITS, *};
use crate::{IgnoreSet, testing::Kept};

/// A key pair; made by `openssl genrsa`, for these tests only.
pub(crate) struct Pair {
    pub(crate) modulus: &'static str,
    secret: &'static str,
}

const EXPONENT: u64 = 65_537;

impl Pair {
    fn public(&self) -> RsaKey {
        RsaKey::from_decimal(self.modulus, EXPONENT)
    }

    fn sign(&self, encoded: &[u8]) -> String {
        let modulus: BigUint = self.modulus.parse().unwrap();
        let secret: BigUint = self.secret.parse().unwrap();
        let number = BigUint::from_bytes_be(encoded).modpow(&secret, &modulus);
        number.to_radix_le(64).iter().map(|d| char::from(DIGITS[usize::from(*d)])).collect()
    }

    /// EMSA-PSS-ENCODE of RFC 8017 §9.1.1 with a salt of zeros.
    fn sign_pss(&self, signed: &[u8]) -> String {
        let salt = [7; 32];
        let message_hash = Sha256::digest(signed);
        let hash = Sha256::digest([&[0; 8][..], &message_hash[..], &salt[..]].concat());
        let mut block = vec![0; 190];
        block.push(1);
        block.extend_from_slice(&salt);
        let mask = keys::mgf1(&hash, block.len());
        let mut encoded: Vec<u8> = block.iter().zip(mask).map(|(a, b)| a ^ b).collect();
        encoded[0] &= 0x7f;
        encoded.extend_from_slice(&hash);
        encoded.push(0xbc);
        self.sign(&encoded)
    }
}

fn trust() -> TrustKeys {
    TrustKeys { header: SMALL.public(), info: LARGE.public(), ..TrustKeys::default() }
}

/// How a test's container differs from a good one.
#[derive(Clone)]
struct Recipe {
    members: Vec<(&'static str, &'static [u8], u8)>,
    listed: Vec<(&'static str, &'static [u8])>,
    info_head: &'static str,
    dsig: bool,
    plain: bool,
    flevel: u32,
}

const SIG: &[u8] = b"A:0:*:deadbeef\n";

impl Default for Recipe {
    fn default() -> Self {
        Self {
            members: vec![("t.ndb", SIG, b'0'), ("readme.txt", b"x", 0)],
            listed: vec![("t.ndb", SIG)],
            info_head: "ClamAV-VDB:t:7:1:90:X:X:me:5",
            dsig: true,
            plain: false,
            flevel: 90,
        }
    }
}

impl Recipe {
    fn build(&self) -> Vec<u8> {
        let mut info = format!("{}\n", self.info_head);
        for (name, data) in &self.listed {
            let sha: String = Sha256::digest(data).iter().map(|b| format!("{b:02x}")).collect();
            info += &format!("{name}:{}:{sha}\n", data.len());
        }
        if self.dsig {
            info = format!("{info}DSIG:{}\n", LARGE.sign_pss(info.as_bytes()));
        }
        let mut tar = tar_member("COPYING", b"(C)", b'0');
        tar.extend(tar_member("t.info", info.as_bytes(), b'0'));
        for (name, data, kind) in &self.members {
            tar.extend(tar_member(name, data, *kind));
        }
        tar.extend([0; 1024]);
        let payload = if self.plain { tar } else { gzip(&tar) };
        let md5 = Md5::digest(&payload);
        let text: String = md5.iter().map(|b| format!("{b:02x}")).collect();
        let dsig = SMALL.sign(&md5);
        let mut file = format!("ClamAV-VDB:t:7:1:{}:{text}:{dsig}:me:5", self.flevel).into_bytes();
        file.resize(HEADER_LEN, b' ');
        file.extend(payload);
        file
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tar_member(name: &str, data: &[u8], kind: u8) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[124..136].copy_from_slice(format!("{:011o}\0", data.len()).as_bytes());
    block[156] = kind;
    block.extend_from_slice(data);
    block.resize(block.len().next_multiple_of(512), 0);
    block
}

fn options() -> LoadOptions {
    let containers = ContainerOptions { keys: trust(), ..ContainerOptions::default() };
    LoadOptions { containers, ..LoadOptions::default() }
}

/// Loads a container; returns what it says, or the code under which it is refused.
fn run(name: &str, file: &[u8], options: &LoadOptions) -> Result<(usize, Proof), &'static str> {
    let mut kept = Kept::default();
    let got = crate::load(name, file, options, &mut IgnoreSet::default(), &mut kept);
    match got {
        Err(rejected) => Err(rejected.diagnostic.code.id),
        Ok(summary) => {
            assert_eq!(summary.signatures, kept.count as u64);
            Ok((kept.count, summary.container.unwrap().proof))
        }
    }
}

#[track_caller]
fn check(name: &str, recipe: &Recipe, want: Result<(usize, Proof), &'static str>) {
    assert_eq!(run(name, &recipe.build(), &options()), want);
}

#[test]
fn signed_and_unsigned() {
    let good = Recipe::default();
    check("t.cvd", &good, Ok((1, Proof::Header)));
    check("t.cld", &good, Ok((1, Proof::List)));
    check("t.cud", &good, Ok((1, Proof::None)));
    let plain = Recipe { plain: true, ..Recipe::default() };
    check("t.cvd", &plain, Ok((1, Proof::Header)));
    let unsigned = Recipe { dsig: false, ..Recipe::default() };
    check("t.cvd", &unsigned, Err("HF0505"));
    check("t.cld", &unsigned, Err("HF0505"));
    check("t.cud", &unsigned, Ok((1, Proof::None)));
    let summary = crate::load(
        "t.cvd",
        &good.build(),
        &options(),
        &mut IgnoreSet::default(),
        &mut Kept::default(),
    );
    let summary = summary.unwrap();
    assert!(summary.official);
    assert_eq!(summary.container.unwrap().header.version, 7);
}

#[test]
fn changed_containers() {
    let good = Recipe::default().build();
    for (name, at, want) in [
        // The time in the header binds nothing.
        ("t.cvd", 11, Ok((1, Proof::Header))),
        ("t.cvd", 15, Err("HF0503")),
        ("t.cvd", 30, Err("HF0505")),
        ("t.cvd", 80, Err("HF0505")),
        ("t.cvd", 600, Err("HF0505")),
        ("t.cld", 80, Ok((1, Proof::List))),
    ] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert_eq!(run(name, &bad, &options()), want, "{name} {at}");
    }
    let foreign = LoadOptions::default();
    assert_eq!(run("t.cvd", &good, &foreign), Err("HF0505"));
    let mut strict = options();
    strict.containers.no_md5 = true;
    assert_eq!(run("t.cvd", &good, &strict), Err("HF0505"));
    assert_eq!(run("t.cvd", &good[..400], &options()), Err("HF0501"));
    assert_eq!(run("t.cud", &good[..HEADER_LEN], &options()), Err("HF0502"));
}

#[test]
fn lists_and_members() {
    let with = |change: fn(&mut Recipe)| {
        let mut recipe = Recipe::default();
        change(&mut recipe);
        recipe
    };
    for (recipe, want) in [
        (with(|r| r.listed[0].1 = b"A:0:*:deadbeee\n"), "HF0504"),
        (with(|r| r.listed.clear()), "HF0504"),
        (with(|r| r.info_head = "ClamAV-VDB:t:8:1:90:X:X:me:5"), "HF0503"),
        (with(|r| r.info_head = "ClamAV-VDB:t:7:1:90:X:X:me:6"), "HF0503"),
        (with(|r| r.members.push(("d", b"", b'5'))), "HF0502"),
        (with(|r| r.members.push(("l", b"", b'2'))), "HF0502"),
        (with(|r| r.members.push(("a/b.ndb", SIG, b'0'))), "HF0502"),
        (
            with(|r| {
                r.members[0].1 = b"A:0:*:de\n";
                r.listed[0].1 = b"A:0:*:de\n";
            }),
            "HF0202",
        ),
    ] {
        check("t.cvd", &recipe, Err(want));
        check("t.cud", &recipe, Err(want));
    }
    let nested = with(|r| r.members.push(("x.cud", b"ClamAV-VDB:", b'0')));
    check("t.cvd", &nested, Ok((1, Proof::Header)));
}

#[test]
fn detached_signatures() {
    let fixture = |name: &str| {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/sign/");
        std::fs::read(format!("{dir}{name}")).unwrap()
    };
    let mut options = options();
    let good = Recipe::default().build();
    options.containers.detached = Some(fixture("good.sign"));
    // Without a root the signature in the header counts.
    assert_eq!(run("t.cvd", &good, &options), Ok((1, Proof::Header)));
    options.containers.keys.roots = vec![fixture("root.pem")];
    // It signs something else.
    assert_eq!(run("t.cvd", &good, &options), Err("HF0505"));
    assert_eq!(run("t.cud", &good, &options), Ok((1, Proof::None)));
    options.containers.detached = Some(fixture("old-engine.sign"));
    assert_eq!(run("t.cvd", &good, &options), Ok((1, Proof::Header)));
}

#[test]
fn detached_signature_of_a_container() {
    // Its header's signature was broken before it was signed: only the detached one counts.
    let fixture = |name: &str| {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/sign/");
        std::fs::read(format!("{dir}{name}")).unwrap()
    };
    let file = fixture("t.cvd");
    let mut options = options();
    assert_eq!(run("t.cvd", &file, &options), Err("HF0505"));
    options.containers.detached = Some(fixture("t-7.cvd.sign"));
    options.containers.keys.roots = vec![fixture("root.pem")];
    options.containers.no_md5 = true;
    let signer = "Holdfast test signer".to_owned();
    assert_eq!(run("t.cvd", &file, &options), Ok((1, Proof::Detached { signer })));
    let container = verify("t.cvd", &file, &options).unwrap();
    assert_eq!(container.header.builder, "me");
}

#[test]
fn newer_levels_are_told() {
    let recipe =
        Recipe { flevel: 300, info_head: "ClamAV-VDB:t:7:1:300:X:X:me:5", ..Recipe::default() };
    let mut kept = Kept::default();
    let got =
        crate::load("t.cvd", &recipe.build(), &options(), &mut IgnoreSet::default(), &mut kept);
    let warnings = got.unwrap().warnings;
    assert_eq!(warnings[0].code.id, "HF0905");
}

#[test]
fn cut_containers() {
    let good = Recipe { plain: true, ..Recipe::default() }.build();
    for len in (0..good.len()).step_by(97) {
        // Only never a panic, and never more than there is.
        if let Ok((count, _)) = run("t.cud", &good[..len], &options()) {
            assert!(count <= 1);
        }
    }
}

/// Signs headers: 1024 bits.
const SMALL: Pair = Pair {
    modulus: "\
    12901206992029185256754244935633408876406736618207083734594957928631722810866699\
    51810735653252594929083646170622982632278263917020190655242160293094091606424093\
    77598403731841966405285028984276248560465896207206683376300018610155878632211571\
    507638954175549991803197685022350605422429429971927949052201367643761",
    secret: "\
    14850650098092401784786307550607814908160645291629802965314915637517389701264687\
    30100582841469334291317427821105601565208542196011461968528748226360960537886934\
    37525019725732283606268076280526096956256319641566769534137336190716902397381973\
    63897166733578403440801145848415382550964480505093943577715157847777",
};
/// Signs lists: 2048 bits.
const LARGE: Pair = Pair {
    modulus: "\
    20659016031752706235486032121522863316924743068096350422801771836583926799283884\
    41701150190986732123906677902304168069882448242728251006664318222881188111371693\
    18319481266162204359172209181576034700468055286130495497081719206434957215362479\
    86062638949854722386676209896620022993749405026447125120226622461971969960526606\
    30470814029014864055181754537869032607337209715638269479597474962241511627441703\
    31538903540543768850261779877356048401324050231544092145265420440104773001621535\
    75071793614587120767373207066356008652687715102923717869462767089758497082491301\
    810498531194978928246222878818328267244166832177839599647",
    secret: "\
    31863120687391298751589607806941590614076827278074661652758031298989934248922212\
    44291808616582066360750217470511395219551060750033898587875998076946312682873044\
    95105561230811230551064694814741376436567298294430176615423656520537184725099401\
    32004997864585125026248245973272379330884688955449218108129865548561845377574684\
    61790621732362230055249478992048279402787062528027627956378117042885995183813660\
    51102751255663729697042110586801633895667503727083620619077435190254253315314420\
    09454350067437708754033390510063567190341213717917550202380313940164175189083740\
    37751362880961369242424444517073910361476999941787031393",
};
