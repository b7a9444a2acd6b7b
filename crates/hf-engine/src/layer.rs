//! One object on the way down: its bytes, its place, and the facts that are found out at most once.

use std::cell::{Cell, OnceCell};

use hf_core::{Digests, ExeView, Facts, FileType, IconMetrics, Limits};
use md5::{Digest as _, Md5};
use sha1::Sha1;
use sha2::Sha256;

use crate::quirks;

/// What a layer is to `clamscan` when it is the normalised copy of a text. It gives the copy to signatures piece by
/// piece, and as a whole only when a signature for texts counts from the end; the end of the pieces then follows with
/// nothing in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextCopy {
    /// Not such a copy.
    None,
    /// As a whole.
    Whole,
    /// Pieces: the size is that of the text, the end is not known.
    Pieces,
    /// The end of the pieces: the size is that of the text.
    End,
}

impl TextCopy {
    /// True when its size and its end are not known.
    pub(crate) fn is_in_pieces(self) -> bool {
        matches!(self, Self::Pieces | Self::End)
    }
}

/// An object being scanned; the chain of parents lives on the stack.
#[derive(Debug)]
pub(crate) struct Layer<'p> {
    pub(crate) parent: Option<&'p Layer<'p>>,
    pub(crate) bytes: &'p [u8],
    pub(crate) node: u32,
    pub(crate) depth: u32,
    pub(crate) file_type: FileType,
    pub(crate) normalised: bool,
    pub(crate) embedded: bool,
    pub(crate) trusted: Cell<bool>,
    /// The other type as which the whole layer was opened too.
    pub(crate) retyped: Cell<Option<FileType>>,
    /// How its text was given to the signatures.
    pub(crate) text: TextCopy,
    ancestors: Vec<FileType>,
    /// What signatures are told it is, for what lies in it, where that is not its type.
    called: Option<FileType>,
    max_icons: u32,
    clamav_quirks: bool,
    md5: OnceCell<[u8; 16]>,
    sha1: OnceCell<[u8; 20]>,
    sha256: OnceCell<[u8; 32]>,
    exe: OnceCell<Option<ExeView>>,
    icons: OnceCell<Vec<IconMetrics>>,
    image_hash: OnceCell<Option<[u8; 8]>>,
}

impl<'p> Layer<'p> {
    /// Returns the layer of a file itself.
    pub(crate) fn top(bytes: &'p [u8], limits: &Limits, clamav_quirks: bool) -> Self {
        Self {
            parent: None,
            bytes,
            node: 0,
            depth: 0,
            file_type: FileType::BinaryData,
            normalised: false,
            embedded: false,
            trusted: Cell::new(false),
            retyped: Cell::new(None),
            text: TextCopy::None,
            ancestors: Vec::new(),
            called: None,
            max_icons: limits.max_icons,
            clamav_quirks,
            md5: OnceCell::new(),
            sha1: OnceCell::new(),
            sha256: OnceCell::new(),
            exe: OnceCell::new(),
            icons: OnceCell::new(),
            image_hash: OnceCell::new(),
        }
    }

    /// The layer's image is not to be hashed.
    pub(crate) fn leave_image_hash_out(&self) {
        let _ = self.image_hash.set(None);
    }

    /// Returns the layer of something inside `parent`.
    pub(crate) fn below(parent: &'p Layer<'p>, bytes: &'p [u8], normalised: bool) -> Self {
        let mut ancestors = parent.ancestors.clone();
        if !parent.normalised && !normalised {
            ancestors.push(parent.called.unwrap_or(quirks::plain(parent.file_type)));
        }
        Self {
            parent: Some(parent),
            depth: parent.depth.saturating_add(u32::from(!normalised)),
            normalised,
            ancestors,
            max_icons: parent.max_icons,
            ..Self::top(bytes, &Limits::default(), parent.clamav_quirks)
        }
    }

    /// The layer takes the place of the one around it, by the type of that, which is how clamscan scans the message
    /// that it makes of a `data:` URL.
    pub(crate) fn take_place(&mut self) {
        self.called = self.ancestors.pop();
    }

    /// Returns this layer and those around it, innermost first.
    pub(crate) fn chain(&self) -> impl Iterator<Item = &Layer<'p>> {
        std::iter::successors(Some(self), |layer| layer.parent)
    }

    /// Returns the size in bytes.
    pub(crate) fn size(&self) -> u64 {
        u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)
    }

    /// Returns the digest whose length is asked for.
    pub(crate) fn digest(&self, len: usize) -> &[u8] {
        match len {
            16 => self.md5.get_or_init(|| Md5::digest(self.bytes).into()),
            20 => self.sha1.get_or_init(|| Sha1::digest(self.bytes).into()),
            _ => self.sha256.get_or_init(|| Sha256::digest(self.bytes).into()),
        }
    }

    /// Returns all digests.
    pub(crate) fn digests(&self) -> Digests {
        let mut digests = Digests { md5: [0; 16], sha1: [0; 20], sha256: [0; 32] };
        digests.md5.copy_from_slice(self.digest(16));
        digests.sha1.copy_from_slice(self.digest(20));
        digests.sha256.copy_from_slice(self.digest(32));
        digests
    }

    fn is_executable(&self) -> bool {
        matches!(self.file_type, FileType::Msexe | FileType::Elf | FileType::Macho)
    }

    /// True for what `clamscan` reads the headers of an executable of.
    fn should_have_headers(&self) -> bool {
        self.is_executable() || self.file_type == FileType::MachoUnibin
    }
}

impl Facts for Layer<'_> {
    fn exe(&self) -> Option<&ExeView> {
        let read =
            if self.clamav_quirks { hf_formats::clamav_exe_view } else { hf_formats::exe_view };
        let view = || self.is_executable().then(|| read(self.bytes, self.file_type).ok()).flatten();
        self.exe.get_or_init(view).as_ref()
    }

    fn icons(&self) -> &[IconMetrics] {
        let most = usize::try_from(self.max_icons).unwrap_or(usize::MAX);
        self.icons.get_or_init(|| {
            let icons = |view| hf_formats::icons(self.bytes, view, most);
            self.exe().map(icons).unwrap_or_default()
        })
    }

    fn has_icon_like(&self, signature: &IconMetrics) -> bool {
        self.icons().iter().any(|icon| hf_formats::icon_matches(signature, icon))
    }

    fn image_hash(&self) -> Option<[u8; 8]> {
        *self.image_hash.get_or_init(|| {
            let image = matches!(
                self.file_type,
                FileType::Graphics
                    | FileType::Gif
                    | FileType::Png
                    | FileType::Jpeg
                    | FileType::Tiff
            );
            image.then(|| hf_formats::image_hash(self.bytes, self.file_type).ok()).flatten()
        })
    }

    fn ancestors(&self) -> &[FileType] {
        &self.ancestors
    }

    fn levels(&self) -> usize {
        // The pieces of a normalised text are matched in the place of the text; a text that is normalised as a whole
        // and a normalised page, one level below.
        let is_whole = self.file_type == FileType::Html || self.text == TextCopy::Whole;
        self.ancestors.len().saturating_add(usize::from(self.normalised && is_whole))
    }

    fn told_size(&self) -> Option<u64> {
        self.text.is_in_pieces().then_some(self.parent?.size())
    }

    fn end_known(&self) -> bool {
        !self.clamav_quirks
            || !self.should_have_headers() && !self.text.is_in_pieces()
            || self.exe().is_some()
    }
}
