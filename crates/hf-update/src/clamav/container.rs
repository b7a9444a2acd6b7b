//! Containers on disk: which is there, what it says, and how a patched one is written.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use hf_sig::LoadOptions;
use hf_sig::cvd::{HEADER_LEN, Header};

use super::cdiff::Files;

/// Largest container in bytes; ours.
pub const CONTAINER_MAX: u64 = 4 << 30;

/// A container that is there.
#[derive(Debug, Clone)]
pub struct Local {
    /// Where.
    pub path: PathBuf,
    /// Its name with suffix.
    pub file_name: String,
    /// What it says.
    pub header: Header,
}

/// Returns the newest container of this name in a folder.
#[must_use]
pub fn local(folder: &Path, name: &str) -> Option<Local> {
    ["cld", "cvd"]
        .iter()
        .filter_map(|suffix| {
            let file_name = format!("{name}.{suffix}");
            let path = folder.join(&file_name);
            let header = header_of(&path)?;
            Some(Local { path, file_name, header })
        })
        .max_by_key(|local| local.header.version)
}

/// Returns what the container at a path says.
#[must_use]
pub fn header_of(path: &Path) -> Option<Header> {
    let mut bytes = Vec::new();
    let len = u64::try_from(HEADER_LEN).ok()?;
    fs::File::open(path).ok()?.take(len).read_to_end(&mut bytes).ok()?;
    Header::parse(&bytes).ok()
}

/// Returns the files of a container, in memory, after verifying it whole.
///
/// # Errors
/// It is not what it should be.
pub fn files_of(path: &Path, options: &LoadOptions) -> Result<Files, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let len = fs::metadata(path).map_err(|err| err.to_string())?.len();
    if len > CONTAINER_MAX {
        return Err("it is too large".to_owned());
    }
    let bytes = fs::read(path).map_err(|err| err.to_string())?;
    let unpacked =
        hf_sig::cvd::unpack(&name, &bytes, options).map_err(|err| err.diagnostic.reason.clone())?;
    Ok(unpacked.members.into_iter().collect())
}

/// Returns a container of these files (`cld`): the header is the first line of the list of members.
///
/// # Errors
/// There is no list, or it is too long for a header.
pub fn build(name: &str, files: &Files, compress: bool) -> Result<Vec<u8>, String> {
    let info_name = format!("{name}.info");
    let info = files.get(&info_name).ok_or("there is no list of members")?;
    let first = info.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if first.len() > HEADER_LEN {
        return Err("the list of members begins with too long a line".to_owned());
    }
    let mut out = first.to_vec();
    out.resize(HEADER_LEN, b' ');
    let mut tar = Vec::new();
    let lead = ["COPYING".to_owned(), info_name, format!("{name}.cfg")];
    let others = files.keys().filter(|name| !lead.contains(name));
    for file in lead.iter().chain(others) {
        if let Some(data) = files.get(file) {
            member(&mut tar, file, data)?;
        }
    }
    tar.extend_from_slice(&[0; 1024]);
    // By the name of its first member a plain archive is told from a compressed one.
    if compress || !files.contains_key("COPYING") {
        let mut packer = GzEncoder::new(out, Compression::default());
        packer.write_all(&tar).map_err(|err| err.to_string())?;
        return packer.finish().map_err(|err| err.to_string());
    }
    out.append(&mut tar);
    Ok(out)
}

/// Writes a member of a tar archive (POSIX ustar).
fn member(tar: &mut Vec<u8>, name: &str, data: &[u8]) -> Result<(), String> {
    let mut block = [0u8; 512];
    let mut put = |off: usize, bytes: &[u8]| {
        if let Some(room) = block.get_mut(off..off.saturating_add(bytes.len())) {
            room.copy_from_slice(bytes);
        }
    };
    if name.len() > 100 {
        return Err(format!("{name} is too long a name"));
    }
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", data.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\0");
    put(263, b"00");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    if let Some(room) = block.get_mut(148..156) {
        room.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    tar.extend_from_slice(&block);
    tar.extend_from_slice(data);
    tar.resize(tar.len().next_multiple_of(512), 0);
    Ok(())
}
