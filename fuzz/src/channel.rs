//! What lies in a channel: manifests, lists of changes, indexes of chunks, patches.

use hf_channel::{Changes, Digest, Manifest, Now, chunks, patch};

/// A manifest, or what is current.
pub fn channel_manifest(data: &[u8]) {
    if let Ok(manifest) = Manifest::parse(data) {
        // What is read can be written, and is the same then.
        let bytes = manifest.to_bytes().expect("a manifest that was read");
        assert_eq!(Manifest::parse(&bytes).expect("what was written"), manifest);
        assert!(manifest.objects().len() < 1 << 24);
    }
    if let Some(now) = Now::parse(data) {
        // Whatever is read is bounded by what a timestamp may be.
        let bytes = now.to_bytes();
        assert!(bytes.map_or(data.len() > 40_000, |bytes| Now::parse(&bytes) == Some(now)));
    }
}

/// A list of changes.
pub fn channel_changes(data: &[u8]) {
    let _ = Changes::read(data);
}

/// An index of chunks, and a stored chunk behind it.
pub fn channel_chunks(data: &[u8]) {
    let (index, stored) = data.split_at(data.len() / 2);
    if let Ok(index) = chunks::Index::parse(index) {
        assert_eq!(chunks::Index::parse(&index.to_bytes()).as_ref(), Ok(&index));
        for chunk in index.chunks.iter().take(4) {
            let _ = chunks::read(chunk, stored);
        }
    }
}

/// A patch for an old version that the first bytes choose; the header is made right, so that the
/// operations behind it are reached.
pub fn channel_patch(data: &[u8]) {
    let Some((choice, body)) = data.split_first() else { return };
    let old: Vec<u8> = (0..4096u32).flat_map(|word| (word * u32::from(*choice)).to_le_bytes()).collect();
    let digest = Digest::of(&old);
    let mut whole = b"HFPATCH1".to_vec();
    whole.extend((old.len() as u64).to_le_bytes());
    whole.extend(8192u64.to_le_bytes());
    whole.extend(digest.0);
    whole.extend(digest.0);
    whole.extend(body);
    let mut out = Vec::new();
    let _ = patch::apply(&whole, &old, &digest, (&digest, 8192), &mut out);
    assert!(out.len() <= 8192);
    let _ = patch::apply(data, &old, &digest, (&digest, 8192), std::io::sink());
}
