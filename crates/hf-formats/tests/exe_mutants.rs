//! Damaged executables and images: nothing panics, and what a view says lies in the file.

use hf_core::{ExeKind, FileType};
use hf_formats::testing::Recorder;
use hf_formats::testing_exe::{self, Import, PeSection, PeSpec};
use hf_formats::{clamav_exe_view, exe_view, format_for, image_hash, section_ranges};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

/// Pseudo-random numbers; always the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        let high = usize::try_from(self.0 >> 33).expect("31 bits fit");
        high % bound.max(1)
    }

    fn damage(&mut self, object: &[u8]) -> Vec<u8> {
        let mut damaged = object.to_vec();
        for _ in 0..=self.below(4) {
            let off = self.below(damaged.len());
            let value = [0, 1, 0x7f, 0x80, 0xff, 0x10, 0x20][self.below(7)];
            let len = [1, 1, 2, 4, 8][self.below(5)];
            for byte in damaged.iter_mut().skip(off).take(len) {
                *byte = value;
            }
        }
        if self.below(4) == 0 {
            damaged.truncate(self.below(damaged.len()));
        }
        damaged
    }
}

fn executables() -> Vec<(FileType, Vec<u8>)> {
    let version = testing_exe::version_resource(&[("CompanyName", "Holdfast"), ("Key", "Value")]);
    let resources = testing_exe::resource_tree(0x2000, &[(10, 1, &[0x41; 80]), (16, 1, &version)]);
    let mut objects = Vec::new();
    for is_64 in [false, true] {
        let libraries: &[(&str, &[Import])] =
            &[("KERNEL32.dll", &[Import::Name("ExitProcess"), Import::Ordinal(7)])];
        let (imports, len) = testing_exe::import_table(0x1000, is_64, libraries);
        let spec = PeSpec {
            is_64,
            entry_rva: 0x1000,
            sections: vec![
                PeSection { name: b".idata", rva: 0x1000, data: imports },
                PeSection { name: b".rsrc", rva: 0x2000, data: resources.clone() },
            ],
            directories: vec![(1, 0x1000, len), (2, 0x2000, 0x400)],
            overlay: vec![0x61; 100],
        };
        objects.push((FileType::Msexe, testing_exe::pe(&spec)));
        objects.push((FileType::Elf, testing_exe::tiny_elf(is_64, !is_64, &[0x90; 64])));
    }
    objects.push((FileType::Macho, testing_exe::tiny_macho(&[0x90; 64])));
    let mut universal = 0xcafe_babe_u32.to_be_bytes().to_vec();
    for field in [2_u32, 7, 3, 48, 40, 0, 18, 0, 88, 40, 0] {
        universal.extend(field.to_be_bytes());
    }
    universal.resize(128, 0x55);
    objects.push((FileType::MachoUnibin, universal));
    objects
}

#[test]
fn damaged_executables() {
    let mut numbers = Numbers(1);
    for (file_type, object) in executables() {
        for round in 0..1500 {
            let damaged = if round == 0 { object.clone() } else { numbers.damage(&object) };
            let lenient = exe_view(&damaged, file_type);
            if let Ok(view) = &lenient {
                let len = u64::try_from(damaged.len()).expect("a small object");
                for section in &view.sections {
                    assert!(section.raw_len == 0 || section.raw_off + section.raw_len <= len);
                }
                if view.kind == ExeKind::Pe {
                    assert!(view.entry_off.is_none_or(|off| off < len));
                    assert!(view.overlay_off.is_none_or(|off| off < len));
                }
                assert!(section_ranges(&damaged, view).len() <= view.sections.len());
            }
            let strict = clamav_exe_view(&damaged, file_type);
            assert!(strict.is_err() || lenient.is_ok(), "the lenient view is the wider one");
            for format in format_for(file_type) {
                let mut recorder = Recorder::default();
                recorder.options.alert_broken = true;
                // How it ends is of no interest: it ends.
                let _ = recorder.run(format, &damaged);
                let children: usize = recorder.children().iter().map(|(_, data)| data.len()).sum();
                assert!(children <= 32 * damaged.len());
            }
        }
    }
}

#[test]
fn damaged_images() {
    let picture = RgbImage::from_fn(24, 16, |x, y| Rgb([x, y, x * y].map(|v| v.to_le_bytes()[0])));
    let picture = DynamicImage::ImageRgb8(picture);
    let mut numbers = Numbers(2);
    let formats = [ImageFormat::Png, ImageFormat::Gif, ImageFormat::Jpeg, ImageFormat::Tiff];
    for format in formats.into_iter().chain([ImageFormat::Bmp]) {
        let mut object = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut object, format).expect("an encoder for each format");
        let object = object.into_inner();
        assert!(image_hash(&object, FileType::Graphics).is_ok());
        for _ in 0..400 {
            let damaged = numbers.damage(&object);
            // Both end, with a result or an error.
            let _ = image_hash(&damaged, FileType::Graphics);
            for format in format_for(FileType::Png) {
                let mut recorder = Recorder::default();
                recorder.options.alert_broken_media = true;
                let _ = recorder.run(format, &damaged);
            }
        }
    }
}
