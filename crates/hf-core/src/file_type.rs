//! Types of objects, by the names that signatures use for them, and the matching targets.
//!
//! Sources: ClamAV's published signature documentation ("file types", "target types").

use serde::{Deserialize, Serialize};

macro_rules! file_types {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $nameable:literal;)*) => {
        /// What an object is, decided from its content and never from its name.
        ///
        /// `CL_TYPE_` + [`FileType::name`] is the word that signature languages use.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[repr(u16)]
        pub enum FileType { $($(#[$doc])* $variant,)* }

        impl FileType {
            /// Every type, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the type's name without the `CL_TYPE_` prefix.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// True when signatures may name this type (Holdfast knows more types than ClamAV).
            #[must_use]
            pub fn nameable(self) -> bool {
                match self { $(Self::$variant => $nameable,)* }
            }
        }
    };
}

file_types! {
    /// Any type; as a container it means "no container".
    Any = "ANY", true;
    /// Text, extended ASCII included.
    TextAscii = "TEXT_ASCII", true;
    /// UTF-8 text.
    TextUtf8 = "TEXT_UTF8", true;
    /// UTF-16 text, little endian.
    TextUtf16Le = "TEXT_UTF16LE", true;
    /// UTF-16 text, big endian.
    TextUtf16Be = "TEXT_UTF16BE", true;
    /// Nothing known.
    BinaryData = "BINARY_DATA", true;
    /// DOS and Windows executables.
    Msexe = "MSEXE", true;
    /// ELF.
    Elf = "ELF", true;
    /// Mach-O, one architecture.
    Macho = "MACHO", true;
    /// Mach-O, several architectures.
    MachoUnibin = "MACHO_UNIBIN", true;
    /// tar with the `ustar` magic.
    PosixTar = "POSIX_TAR", true;
    /// tar recognised by its header checksum.
    OldTar = "OLD_TAR", true;
    /// cpio, old binary.
    CpioOld = "CPIO_OLD", true;
    /// cpio, octal ASCII.
    CpioOdc = "CPIO_ODC", true;
    /// cpio, new ASCII.
    CpioNewc = "CPIO_NEWC", true;
    /// cpio, new ASCII with checksum.
    CpioCrc = "CPIO_CRC", true;
    /// gzip.
    Gz = "GZ", true;
    /// zip.
    Zip = "ZIP", true;
    /// bzip2.
    Bz = "BZ", true;
    /// RAR.
    Rar = "RAR", true;
    /// ARJ.
    Arj = "ARJ", true;
    /// MS SZDD.
    Msszdd = "MSSZDD", true;
    /// OLE2 compound file.
    Msole2 = "MSOLE2", true;
    /// Microsoft cabinet.
    Mscab = "MSCAB", true;
    /// Compiled HTML help.
    Mschm = "MSCHM", true;
    /// Symbian installer.
    Sis = "SIS", true;
    /// Microsoft Script Encoder.
    Screnc = "SCRENC", true;
    /// Graphics without a type of their own (BMP, JPEG 2000).
    Graphics = "GRAPHICS", true;
    /// GIF.
    Gif = "GIF", true;
    /// PNG.
    Png = "PNG", true;
    /// JPEG.
    Jpeg = "JPEG", true;
    /// TIFF.
    Tiff = "TIFF", true;
    /// RIFF.
    Riff = "RIFF", true;
    /// BinHex.
    Binhex = "BINHEX", true;
    /// TNEF (`winmail.dat`).
    Tnef = "TNEF", true;
    /// CryptFF.
    Cryptff = "CRYPTFF", true;
    /// PDF.
    Pdf = "PDF", true;
    /// uuencoded.
    Uuencoded = "UUENCODED", true;
    /// Script recognised by a pattern (mIRC).
    Script = "SCRIPT", true;
    /// HTML in UTF-16.
    HtmlUtf16 = "HTML_UTF16", true;
    /// RTF.
    Rtf = "RTF", true;
    /// HTML.
    Html = "HTML", true;
    /// Mail.
    Mail = "MAIL", true;
    /// Placeholder for self-extracting archives.
    Sfx = "SFX", true;
    /// zip at an offset.
    ZipSfx = "ZIPSFX", true;
    /// RAR at an offset.
    RarSfx = "RARSFX", true;
    /// Cabinet at an offset.
    CabSfx = "CABSFX", true;
    /// ARJ at an offset.
    ArjSfx = "ARJSFX", true;
    /// 7z at an offset.
    SevenZipSfx = "7ZSFX", true;
    /// EGG at an offset.
    EggSfx = "EGGSFX", true;
    /// NSIS.
    Nulsft = "NULSFT", true;
    /// Compiled AutoIt.
    Autoit = "AUTOIT", true;
    /// InstallShield MSI.
    IshieldMsi = "ISHIELD_MSI", true;
    /// 7z.
    SevenZip = "7Z", true;
    /// Flash.
    Swf = "SWF", true;
    /// Java class.
    Java = "JAVA", true;
    /// XAR.
    Xar = "XAR", true;
    /// xz.
    Xz = "XZ", true;
    /// Zstandard.
    Zstd = "ZSTD", true;
    /// Apple disk image.
    Dmg = "DMG", true;
    /// ISO 9660.
    Iso9660 = "ISO9660", true;
    /// UDF.
    Udf = "UDF", true;
    /// MBR-partitioned disk.
    Mbr = "MBR", true;
    /// GPT-partitioned disk.
    Gpt = "GPT", true;
    /// Apple partition map.
    Apm = "APM", true;
    /// Any partition.
    PartAny = "PART_ANY", true;
    /// HFS+ partition.
    PartHfsPlus = "PART_HFSPLUS", true;
    /// EGG.
    Egg = "EGG", true;
    /// ALZ.
    Alz = "ALZ", true;
    /// LHA.
    LhaLzh = "LHA_LZH", true;
    /// OneNote.
    OneNote = "ONENOTE", true;
    /// PostScript.
    Ps = "PS", true;
    /// MHTML.
    Mhtml = "MHTML", true;
    /// Windows shortcut.
    Lnk = "LNK", true;
    /// Office Open XML, Word.
    OoxmlWord = "OOXML_WORD", true;
    /// Office Open XML, PowerPoint.
    OoxmlPpt = "OOXML_PPT", true;
    /// Office Open XML, Excel.
    OoxmlXl = "OOXML_XL", true;
    /// Office Open XML, Hancom.
    OoxmlHwp = "OOXML_HWP", true;
    /// XDP.
    Xdp = "XDP", true;
    /// Word 2003 XML.
    XmlWord = "XML_WORD", true;
    /// Excel 2003 XML.
    XmlXl = "XML_XL", true;
    /// Hancom XML.
    XmlHwp = "XML_HWP", true;
    /// Hancom 3.
    Hwp3 = "HWP3", true;
    /// Hancom OLE2 with a length in front.
    HwpOle2 = "HWPOLE2", true;
    /// Metadata of a scan.
    Internal = "INTERNAL", true;
    /// Known and not opened.
    Ignored = "IGNORED", true;
    /// Compiled Python.
    PythonCompiled = "PYTHON_COMPILED", true;
    /// Machine-learning model.
    AiModel = "AI_MODEL", true;
    /// LZMA stream with the 13-byte header ("LZMA alone").
    Lzma = "LZMA", false;
    /// LZ4 frame.
    Lz4 = "LZ4", false;
    /// ar, static libraries and deb.
    Ar = "AR", false;
    /// HFS, the file system of Macs before HFS+.
    Hfs = "HFS", false;
    /// Virtual disk of Virtual PC.
    Vhd = "VHD", false;
    /// Virtual disk of Hyper-V.
    Vhdx = "VHDX", false;
    /// Virtual disk of VMware.
    Vmdk = "VMDK", false;
    /// Virtual disk of QEMU.
    Qcow = "QCOW", false;
    /// Virtual disk of VirtualBox.
    Vdi = "VDI", false;
    /// Windows image.
    Wim = "WIM", false;
    /// APFS container.
    Apfs = "APFS", false;
    /// Volume encrypted with LUKS.
    Luks = "LUKS", false;
    /// Unix compress (`.Z`).
    Compress = "COMPRESS", false;
    /// ARC archive.
    Arc = "ARC", false;
    /// ZOO archive.
    Zoo = "ZOO", false;
    /// ACE archive.
    Ace = "ACE", false;
    /// HA archive.
    Ha = "HA", false;
    /// lzip.
    Lzip = "LZIP", false;
    /// lzop.
    Lzop = "LZOP", false;
    /// zlib stream.
    Zlib = "ZLIB", false;
    /// rpm package.
    Rpm = "RPM", false;
    /// asar, of Electron.
    Asar = "ASAR", false;
    /// File packed by DOS COMPRESS, later form.
    Kwaj = "KWAJ", false;
    /// InstallShield cabinet, or the header of a set of them.
    IshieldCab = "ISHIELD_CAB", false;
    /// Program of Android.
    Dex = "DEX", false;
    /// Files behind an InstallShield setup program.
    IshieldSetup = "ISHIELD_SETUP", false;
    /// Data of an Inno Setup installer beside it.
    InnoSlice = "INNO_SLICE", false;
    /// ActiveMime: a compressed compound file.
    ActiveMime = "ACTIVEMIME", false;
    /// Part of a binary workbook since 2007.
    Biff12 = "BIFF12", false;
    /// Outlook's store of messages.
    Pst = "PST", false;
    /// yEnc.
    Yenc = "YENC", false;
    /// CMS (PKCS #7) message.
    Cms = "CMS", false;
    /// squashfs.
    Squashfs = "SQUASHFS", false;
    /// cramfs.
    Cramfs = "CRAMFS", false;
    /// romfs.
    Romfs = "ROMFS", false;
    /// ext2, ext3, ext4.
    Ext = "EXT", false;
    /// FAT and exFAT.
    Fat = "FAT", false;
    /// NTFS.
    Ntfs = "NTFS", false;
    /// InstallShield 3 archive (`.Z`).
    IshieldZ = "ISHIELD_Z", false;
    /// Files behind a Setup Factory program.
    SetupFactory = "SETUP_FACTORY", false;
    /// OpenPGP message.
    OpenPgp = "OPENPGP", false;
    /// LZFSE stream.
    Lzfse = "LZFSE", false;
    /// MacBinary: a file with its forks.
    MacBinary = "MACBINARY", false;
    /// Pack or bundle of git.
    GitPack = "GIT_PACK", false;
    /// Disk of QEMU, enhanced form.
    Qed = "QED", false;
    /// Disk of Parallels.
    Parallels = "PARALLELS", false;
    /// Sparse image of Android.
    AndroidSparse = "ANDROID_SPARSE", false;
    /// Compressed image of a disc.
    Cso = "CSO", false;
    /// EROFS.
    Erofs = "EROFS", false;
    /// JFFS2.
    Jffs2 = "JFFS2", false;
    /// UBI volumes and UBIFS.
    Ubifs = "UBIFS", false;
    /// Btrfs.
    Btrfs = "BTRFS", false;
    /// XFS.
    Xfs = "XFS", false;
    /// F2FS.
    F2fs = "F2FS", false;
    /// Physical volume of LVM.
    Lvm = "LVM", false;
    /// lrzip.
    Lrzip = "LRZIP", false;
    /// rzip.
    Rzip = "RZIP", false;
    /// ZPAQ.
    Zpaq = "ZPAQ", false;
    /// dar archive.
    Dar = "DAR", false;
    /// Expert Witness image of a disk.
    Ewf = "EWF", false;
    /// What OpenSSL encrypted with a password.
    OpensslSalted = "OPENSSL_SALTED", false;
    /// WebAssembly module or component.
    Wasm = "WASM", false;
    /// Resources of .NET.
    Resources = "RESOURCES", false;
}

impl FileType {
    /// Returns the type that a signature means by `CL_TYPE_…`, or none for an unknown word.
    #[must_use]
    pub fn from_clamav_name(word: &str) -> Option<Self> {
        let name = word.strip_prefix("CL_TYPE_")?;
        Self::ALL.iter().copied().find(|kind| kind.nameable() && kind.name() == name)
    }

    /// Returns the target whose signatures meet objects of this type, besides [`Target::ANY`].
    #[must_use]
    pub fn target(self) -> Option<Target> {
        Some(match self {
            Self::Msexe => Target::PE,
            Self::Msole2 => Target::OLE2,
            Self::Html => Target::HTML,
            Self::Mail => Target::MAIL,
            Self::Graphics | Self::Gif | Self::Png | Self::Jpeg | Self::Tiff => Target::GRAPHICS,
            Self::Elf => Target::ELF,
            Self::Macho | Self::MachoUnibin => Target::MACHO,
            Self::Pdf => Target::PDF,
            Self::Swf => Target::FLASH,
            Self::Java => Target::JAVA,
            Self::Internal => Target::INTERNAL,
            Self::BinaryData | Self::PythonCompiled | Self::AiModel => Target::OTHER,
            // Data without a type to ClamAV; what is yEnc to us is text to it.
            other if !other.nameable() && other != Self::Yenc => Target::OTHER,
            _ => return None,
        })
    }
}

/// The number by which signatures say what they are for; at most 14.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target(pub u8);

impl Target {
    /// Every scanned buffer.
    pub const ANY: Self = Self(0);
    /// PE.
    pub const PE: Self = Self(1);
    /// OLE2.
    pub const OLE2: Self = Self(2);
    /// Normalised HTML.
    pub const HTML: Self = Self(3);
    /// Mail.
    pub const MAIL: Self = Self(4);
    /// Graphics.
    pub const GRAPHICS: Self = Self(5);
    /// ELF.
    pub const ELF: Self = Self(6);
    /// Normalised text.
    pub const ASCII: Self = Self(7);
    /// Mach-O.
    pub const MACHO: Self = Self(9);
    /// PDF.
    pub const PDF: Self = Self(10);
    /// Flash.
    pub const FLASH: Self = Self(11);
    /// Java.
    pub const JAVA: Self = Self(12);
    /// Metadata.
    pub const INTERNAL: Self = Self(13);
    /// Binary data, compiled Python, models.
    pub const OTHER: Self = Self(14);
    /// One more than the largest target.
    pub const COUNT: u8 = 15;

    /// True for the targets in which `EP`, `Sx`, `SL`, `SE` and `VI` offsets have a meaning.
    #[must_use]
    pub fn is_executable(self) -> bool {
        matches!(self, Self::PE | Self::ELF | Self::MACHO)
    }
}
