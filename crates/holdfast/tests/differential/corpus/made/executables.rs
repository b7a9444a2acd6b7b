//! Executables with real code and data in their sections.

use hf_formats::testing_exe::{
    Import, PeSection, PeSpec, import_table, pe, resource_tree, tiny_elf, tiny_macho, tiny_pe,
    version_resource,
};

use super::{chunk, words};
use crate::corpus::Corpus;
use crate::rng::Rng;

pub(super) fn build(corpus: &mut Corpus, rng: &mut Rng) {
    for idx in 0..3usize {
        let sections: Vec<Vec<u8>> = (0..=idx)
            .map(|_| {
                let len = rng.range(100, 4000);
                chunk(corpus, rng, len)
            })
            .collect();
        let sections: Vec<&[u8]> = sections.iter().map(Vec::as_slice).collect();
        let entry_rva = 0x1000 + u32::try_from(rng.below(90)).unwrap_or(0);
        corpus.add(&format!("made-{idx}.exe"), &tiny_pe(&sections, entry_rva));
    }
    for is_64 in [false, true] {
        let file = full_pe(corpus, rng, is_64);
        corpus.add(&format!("made-full-{is_64}.exe"), &file);
    }
    // The magic alone makes it a PE for signatures.
    let broken = [b"MZ\x90\0".as_slice(), &chunk(corpus, rng, 1500)].concat();
    corpus.add("made-broken.exe", &broken);
    for (idx, (is_64, is_big_endian)) in [(false, true), (true, false)].into_iter().enumerate() {
        let code = chunk(corpus, rng, 1200);
        corpus.add(&format!("made-{idx}.elf"), &tiny_elf(is_64, is_big_endian, &code));
    }
    let code = chunk(corpus, rng, 1200);
    corpus.add("made.macho", &tiny_macho(&code));
}

fn full_pe(corpus: &Corpus, rng: &mut Rng, is_64: bool) -> Vec<u8> {
    let libraries: &[(&str, &[Import])] = &[
        ("KERNEL32.dll", &[Import::Name("LoadLibraryA"), Import::Name("ExitProcess")]),
        ("ws2_32.dll", &[Import::Ordinal(115), Import::Name("recv")]),
        ("other.ocx", &[Import::Ordinal(7)]),
    ];
    let (imports, imports_len) = import_table(0x2000, is_64, libraries);
    let company = words(corpus, rng, 30);
    let version = version_resource(&[("CompanyName", &company), ("FileVersion", "1.2.3.4")]);
    let resources = resource_tree(0x3000, &[(16, 1, &version)]);
    let resources_len = u32::try_from(resources.len()).unwrap_or(0);
    let code = chunk(corpus, rng, 3000);
    pe(&PeSpec {
        is_64,
        entry_rva: 0x1000 + u32::try_from(rng.below(200)).unwrap_or(0),
        sections: vec![
            PeSection { name: b".text", rva: 0x1000, data: code },
            PeSection { name: b".idata", rva: 0x2000, data: imports },
            PeSection { name: b".rsrc", rva: 0x3000, data: resources },
        ],
        directories: vec![(1, 0x2000, imports_len), (2, 0x3000, resources_len)],
        overlay: chunk(corpus, rng, 700),
    })
}
