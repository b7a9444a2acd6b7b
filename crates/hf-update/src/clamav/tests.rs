//! Mirrors on the loopback, with containers and scripts that are signed by keys made for tests.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, thread};

use hf_sig::LoadOptions;
use hf_sig::cvd::RsaKey;
use num_bigint::BigUint;
use sha2::{Digest as _, Sha256};

use super::cdiff::Files;
use super::mirror::{Code, Mirrors, Updated};
use super::voice::{Level, Voice};
use super::{Memory, container};
use crate::fetch::{FetchOptions, Fetcher};

const EXPONENT: u64 = 65_537;
/// Made by `openssl genrsa`, for tests only.
const MODULUS: &str = "\
    20659016031752706235486032121522863316924743068096350422801771836583926799283884\
    41701150190986732123906677902304168069882448242728251006664318222881188111371693\
    18319481266162204359172209181576034700468055286130495497081719206434957215362479\
    86062638949854722386676209896620022993749405026447125120226622461971969960526606\
    30470814029014864055181754537869032607337209715638269479597474962241511627441703\
    31538903540543768850261779877356048401324050231544092145265420440104773001621535\
    75071793614587120767373207066356008652687715102923717869462767089758497082491301\
    810498531194978928246222878818328267244166832177839599647";
const SECRET: &str = "\
    31863120687391298751589607806941590614076827278074661652758031298989934248922212\
    44291808616582066360750217470511395219551060750033898587875998076946312682873044\
    95105561230811230551064694814741376436567298294430176615423656520537184725099401\
    32004997864585125026248245973272379330884688955449218108129865548561845377574684\
    61790621732362230055249478992048279402787062528027627956378117042885995183813660\
    51102751255663729697042110586801633895667503727083620619077435190254253315314420\
    09454350067437708754033390510063567190341213717917550202380313940164175189083740\
    37751362880961369242424444517073910361476999941787031393";
const DIGITS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/";

fn key() -> RsaKey {
    RsaKey::from_decimal(MODULUS, EXPONENT)
}

fn options() -> LoadOptions {
    let mut options = LoadOptions::default();
    options.containers.keys.info = key();
    options.containers.keys.script = key();
    options
}

/// EMSA-PSS-ENCODE of RFC 8017 §9.1.1 and the signature as ClamAV writes it.
fn sign(signed: &[u8]) -> String {
    let salt = [7; 32];
    let hash = Sha256::digest([&[0; 8][..], &Sha256::digest(signed)[..], &salt[..]].concat());
    let mut block = vec![0; 190];
    block.push(1);
    block.extend_from_slice(&salt);
    let mask: Vec<u8> = (0u32..8)
        .flat_map(|n| Sha256::digest([&hash[..], &n.to_be_bytes()].concat()).to_vec())
        .collect();
    let mut encoded: Vec<u8> = block.iter().zip(mask).map(|(a, b)| a ^ b).collect();
    encoded[0] &= 0x7f;
    encoded.extend_from_slice(&hash);
    encoded.push(0xbc);
    let number = |text: &str| text.parse::<BigUint>().unwrap();
    let signed = BigUint::from_bytes_be(&encoded).modpow(&number(SECRET), &number(MODULUS));
    signed.to_radix_le(64).iter().map(|digit| char::from(DIGITS[usize::from(*digit)])).collect()
}

/// Returns the files of a version: one signature for each, and the signed list.
fn files(version: u32) -> Files {
    let text: String = (1..=version).map(|n| format!("Sig{n}:0:*:{n:016x}\n")).collect();
    let sha: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut info =
        format!("ClamAV-VDB:01 Dec 2026 00-00 +0000:{version}:{version}:90:X:X:me:{version}\n");
    info += &format!("t.ndb:{}:{sha}\n", text.len());
    info = format!("{info}DSIG:{}\n", sign(info.as_bytes()));
    let copying = ("COPYING".to_owned(), b"(C) nobody".to_vec());
    Files::from([
        copying,
        ("t.ndb".to_owned(), text.into_bytes()),
        ("t.info".to_owned(), info.into_bytes()),
    ])
}

/// Returns the script to a version.
fn script(version: u32) -> Vec<u8> {
    let (old, new) = (files(version - 1), files(version));
    let info = |files: &Files| String::from_utf8(files["t.info"].clone()).unwrap();
    let mut text = format!("OPEN t.ndb\nADD Sig{version}:0:*:{version:016x}\nCLOSE\nOPEN t.info\n");
    for (idx, (from, to)) in info(&old).lines().zip(info(&new).lines()).enumerate() {
        text += &format!("XCHG {} {} {to}\n", idx + 1, from.split(' ').next().unwrap());
    }
    text += "CLOSE\n";
    let mut out = format!("ClamAV-Diff:{version}:{}:", text.len()).into_bytes();
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text.as_bytes()).unwrap();
    out.extend(packer.finish().unwrap());
    let signature = sign(&out);
    out.push(b':');
    out.extend(signature.into_bytes());
    out
}

#[derive(Default)]
struct Lines(Vec<String>);

impl Voice for Lines {
    fn say(&mut self, _: Level, text: &str) {
        self.0.push(text.to_owned());
    }
}

/// Serves files by path; others are 404, those of `status` have another answer.
struct Mirror {
    port: u16,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    asked: Arc<Mutex<Vec<String>>>,
    status: Arc<Mutex<Option<(u16, String)>>>,
}

impl Mirror {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mirror = Self {
            port: listener.local_addr().unwrap().port(),
            files: Arc::default(),
            asked: Arc::default(),
            status: Arc::default(),
        };
        let (files, asked, status) =
            (Arc::clone(&mirror.files), Arc::clone(&mirror.asked), Arc::clone(&mirror.status));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut text = Vec::new();
                let mut byte = [0];
                while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                    text.push(byte[0]);
                }
                let text = String::from_utf8_lossy(&text).into_owned();
                let path =
                    text.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
                asked.lock().unwrap().push(path.clone());
                let refused = status.lock().unwrap().clone();
                let found = files.lock().unwrap().get(&path).cloned();
                let (head, body) = match (refused, found) {
                    (Some((status, more)), _) => {
                        (format!("HTTP/1.1 {status} No\r\n{more}"), Vec::new())
                    }
                    (None, None) => ("HTTP/1.1 404 No\r\n".to_owned(), Vec::new()),
                    (None, Some(bytes)) if text.contains("Range: bytes=0-511") => {
                        ("HTTP/1.1 206 Part\r\n".to_owned(), bytes[..512].to_vec())
                    }
                    (None, Some(bytes)) => ("HTTP/1.1 200 OK\r\n".to_owned(), bytes),
                };
                let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(&body);
            }
        });
        mirror
    }

    fn put(&self, name: &str, bytes: Vec<u8>) {
        self.files.lock().unwrap().insert(name.to_owned(), bytes);
    }

    fn update(&self, folder: &Path) -> (Result<Updated, Code>, Vec<String>) {
        let fetcher = Fetcher::new(FetchOptions::default());
        let mut memory = Memory::read(folder);
        let mut lines = Lines::default();
        let mut mirrors = Mirrors {
            fetcher: &fetcher,
            servers: vec![format!("http://127.0.0.1:{}", self.port)],
            private: true,
            attempts: 1,
            pause: Duration::ZERO,
            scripted: true,
            compress: false,
            folder,
            partial: folder,
            options: options(),
            tester: None,
            memory: &mut memory,
            voice: &mut lines,
            check_only: false,
        };
        let updated = mirrors.update("t", None);
        mirrors.tidy();
        (updated, lines.0)
    }
}

fn cld(version: u32) -> Vec<u8> {
    container::build("t", &files(version), false).unwrap()
}

#[track_caller]
fn version_in(folder: &Path) -> Option<u32> {
    container::local(folder, "t").map(|local| local.header.version)
}

#[test]
fn scripts_lead_from_version_to_version() {
    let mirror = Mirror::new();
    let dir = tempfile::tempdir().unwrap();
    mirror.put("t.cld", cld(3));
    assert!(mirror.update(dir.path()).0.unwrap().changed);
    assert_eq!(version_in(dir.path()), Some(3));
    mirror.put("t.cld", cld(5));
    mirror.put("t-4.cdiff", script(4));
    mirror.put("t-5.cdiff", script(5));
    let (updated, lines) = mirror.update(dir.path());
    assert!(updated.unwrap().changed, "{lines:?}");
    assert_eq!(version_in(dir.path()), Some(5));
    assert_eq!(fs::read(dir.path().join("t.cld")).unwrap(), cld(5), "as if built anew");
    let asked = mirror.asked.lock().unwrap().clone();
    // Of the containers only heads were asked for: the first, its head and whole; then one head.
    assert_eq!(asked, ["t.cld", "t.cld", "t.cld", "t-4.cdiff", "t-5.cdiff"]);
    assert!(!mirror.update(dir.path()).0.unwrap().changed);
}

#[test]
fn chains_that_break_off() {
    let mirror = Mirror::new();
    let dir = tempfile::tempdir().unwrap();
    mirror.put("t.cld", cld(3));
    mirror.update(dir.path()).0.unwrap();
    mirror.put("t.cld", cld(5));
    mirror.put("t-4.cdiff", script(4));
    // The second is missing: what was reached counts.
    mirror.update(dir.path()).0.unwrap();
    assert_eq!(version_in(dir.path()), Some(4));
    // None is there, or it is no good: the whole is fetched.
    for bad in [Vec::new(), b"x".to_vec(), script(4)] {
        fs::write(dir.path().join("t.cld"), cld(4)).unwrap();
        mirror.put("t-5.cdiff", bad);
        mirror.update(dir.path()).0.unwrap();
        assert_eq!(version_in(dir.path()), Some(5));
    }
    let mut forged = script(5);
    forged[20] ^= 1;
    fs::write(dir.path().join("t.cld"), cld(4)).unwrap();
    mirror.put("t-5.cdiff", forged);
    let (updated, lines) = mirror.update(dir.path());
    updated.unwrap();
    assert!(
        lines.iter().any(|line| line.contains("signature of the script is not valid")),
        "{lines:?}"
    );
    assert_eq!(version_in(dir.path()), Some(5));
}

#[test]
fn mirrors_that_lie_or_refuse() {
    let mirror = Mirror::new();
    let dir = tempfile::tempdir().unwrap();
    let mut altered = cld(3);
    let at = altered.windows(4).position(|window| window == b"Sig2").unwrap();
    altered[at] ^= 1;
    mirror.put("t.cld", altered);
    assert_eq!(mirror.update(dir.path()).0, Err(Code::BadDatabase));
    assert_eq!(version_in(dir.path()), None);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
    *mirror.status.lock().unwrap() = Some((429, "Retry-After: 100\r\n".to_owned()));
    assert_eq!(mirror.update(dir.path()).0, Err(Code::Later));
    let now = crate::store::time::now();
    let until = Memory::read(dir.path()).cooling_down(now).unwrap();
    assert!((now + 90..=now + 101).contains(&until), "{until}");
    *mirror.status.lock().unwrap() = Some((403, String::new()));
    assert_eq!(mirror.update(dir.path()).0, Err(Code::Forbidden));
    assert!(Memory::read(dir.path()).cooling_down(now).unwrap() >= now + 86_400);
}

#[test]
fn the_real_one() {
    // The folder of real signatures; the file is somebody else's, and not part of this project.
    let Some(folder) = std::env::var_os("HOLDFAST_REAL_DATA") else { return };
    let bytes = fs::read(Path::new(&folder).join("bytecode.cvd")).unwrap();
    let options = LoadOptions::default();
    let good = hf_sig::cvd::unpack("bytecode.cvd", &bytes, &options).unwrap();
    assert_eq!(good.container.header.version, 334);
    for at in (0..bytes.len()).step_by(bytes.len() / 40) {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        let refused = hf_sig::cvd::unpack("bytecode.cvd", &bad, &options).is_err();
        // The text of the time, and the room behind the header's text, bind nothing.
        assert!(refused || (11..34).contains(&at) || (400..512).contains(&at), "{at}");
    }
}
