#!/usr/bin/env python3
"""Wraps one payload into many containers, encodings and malformations, with other people's tools.

    make.py PAYLOAD FOLDER      writes FOLDER/CASE for each case; prints `skipped CASE: program` where a
                                program is missing

A case is a function; its name is the file's. What it returns is the file; a function that takes `at`
gets an empty folder to work in with the payload as `payload.exe`. Everything made is inert as long as the
payload is. `more.py` has further cases.
"""

import base64
import binascii
import bz2
import gzip
import io
import json
import lzma
import os
import quopri
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from hashlib import sha256
from pathlib import Path

CASES = []


def case(*programs, **table):
    """Registers a case that needs these programs; keywords make one case for each, named after it."""

    def register(function):
        if table:
            for suffix, value in table.items():
                name = f"{function.__name__}-{suffix}".replace("_", "-")
                CASES.append((name, programs, lambda at, f=function, v=value: f(at, v)))
        else:
            name = function.__name__.replace("_", "-")
            CASES.append((name, programs, function))
        return function

    return register


def run(at, *arguments, feed=None):
    done = subprocess.run(
        [str(a) for a in arguments], cwd=at, input=feed, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        raise RuntimeError(f"{arguments}: {done.stdout[-500:]!r}")
    return done.stdout


def sh(at, line):
    run(at, "bash", "-euc", line)
    for name in ("out", "out.img"):
        if (at / name).exists():
            return (at / name).read_bytes()
    raise RuntimeError(f"nothing came out of {line}")


def payload(at):
    return (at / "payload.exe").read_bytes()


def noise(length, seed=1):
    """Bytes that look random and are the same in every run."""
    out = bytearray()
    state = seed
    while len(out) < length:
        out += sha256(struct.pack("<Q", state)).digest()
        state += 1
    return bytes(out[:length])


# ---------------------------------------------------------------------------------------------- zip


def zip_of(entries, **options):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(name), data, options.get("compression", 8))
    return bytearray(file.getvalue())


def central(archive):
    return archive.find(b"PK\x01\x02")


def eocd(archive):
    return archive.rfind(b"PK\x05\x06")


@case(stored=0, deflated=8, bzip2=12, lzma=14)
def zip_method(at, method):
    return zip_of([("a.txt", b"x" * 50), ("payload.exe", payload(at))], compression=method)


@case(
    bad_crc=lambda a: a.__setitem__(slice(central(a) + 16, central(a) + 20), b"\1\2\3\4"),
    local_crc=lambda a: a.__setitem__(slice(14, 18), b"\1\2\3\4"),
    no_eocd=lambda a: a.__delitem__(slice(eocd(a), None)),
    no_directory=lambda a: a.__delitem__(slice(central(a), None)),
    count_0=lambda a: a.__setitem__(slice(eocd(a) + 8, eocd(a) + 12), b"\0\0\0\0"),
    disks_9=lambda a: a.__setitem__(slice(eocd(a) + 4, eocd(a) + 8), b"\x09\0\x09\0"),
    cd_offset=lambda a: a.__setitem__(slice(eocd(a) + 16, eocd(a) + 20), b"\xff\xff\x00\x10"),
    cd_packed_3=lambda a: a.__setitem__(slice(central(a) + 20, central(a) + 24), b"\3\0\0\0"),
    cd_size_1=lambda a: a.__setitem__(slice(central(a) + 24, central(a) + 28), b"\1\0\0\0"),
    cd_method=lambda a: a.__setitem__(slice(central(a) + 10, central(a) + 12), b"\x63\0"),
    cd_encrypted=lambda a: a.__setitem__(slice(central(a) + 8, central(a) + 10), b"\1\0"),
    local_encrypted=lambda a: a.__setitem__(slice(6, 8), b"\1\0"),
    local_method=lambda a: a.__setitem__(slice(8, 10), b"\x63\0"),
    local_size_0=lambda a: a.__setitem__(slice(18, 26), bytes(8)),
    local_size_huge=lambda a: a.__setitem__(slice(18, 26), b"\xff\xff\xff\x7f\xff\xff\xff\x7f"),
    local_offset=lambda a: a.__setitem__(slice(central(a) + 42, central(a) + 46), b"\x07\0\0\0"),
    comment_len=lambda a: a.__setitem__(slice(eocd(a) + 20, eocd(a) + 22), b"\xff\xff"),
    version=lambda a: a.__setitem__(slice(4, 6), b"\xff\xff"),
    tail=lambda a: a.extend(noise(70_000)),
    tail_eocd=lambda a: a.extend(b"PK\5\6" + bytes(18)),
    truncated=lambda a: a.__delitem__(slice(central(a) + 10, None)),
)
def zip_damage(at, damage):
    archive = zip_of([("payload.exe", payload(at))])
    damage(archive)
    return archive


@case()
def zip_same_name(at):
    return zip_of([("a.exe", payload(at)), ("a.exe", b"harmless")])


@case()
def zip_two_concatenated(at):
    return zip_of([("payload.exe", payload(at))]) + zip_of([("b.txt", b"harmless" * 9)])


@case()
def zip_prefix(at):
    return b"#!/bin/sh\nexit 0\n" * 100 + zip_of([("payload.exe", payload(at))])


@case()
def zip_behind_gif(at):
    return b"GIF89a\1\0\1\0\0\0\0;" + zip_of([("payload.exe", payload(at))])


@case()
def zip_directory_with_data(at):
    return zip_of([("folder/", payload(at))])


@case()
def zip_hidden_local(at):
    """An entry that only its local header names, between two that the directory has."""
    archive = zip_of([("a.txt", b"x" * 40)])
    hidden = zip_of([("payload.exe", payload(at))])
    return archive[: central(archive)] + hidden[: central(hidden)] + archive[central(archive) :]


@case()
def zip_descriptor(at):
    class Pipe(io.RawIOBase):
        def __init__(self):
            self.data = bytearray()

        def writable(self):
            return True

        def write(self, data):
            self.data += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:
        archive.writestr("payload.exe", payload(at), 8)
    return pipe.data


@case()
def zip_64(at):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        with archive.open("payload.exe", "w", force_zip64=True) as entry:
            entry.write(payload(at))
    return file.getvalue()


@case("zip")
def zip_crypto_known_password(at):
    return sh(at, "zip -q -P infected out.zip payload.exe && mv out.zip out")


@case(
    "7z",
    copy="-mm=Copy",
    deflate64="-mm=Deflate64",
    ppmd="-mm=PPMd",
    lzma="-mm=LZMA",
    aes="-pinfected -mem=AES256",
)
def zip_by_7z(at, options):
    return sh(at, f"7z a -tzip {options} out.zip payload.exe && mv out.zip out")


@case("7z")
def zip_nested_ten_deep(at):
    data = payload(at)
    for level in range(10):
        data = bytes(zip_of([(f"{level}.bin", data)]))
    return data


@case()
def jar(at):
    return zip_of([("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\n"), ("a/B.class", payload(at))])


@case()
def ooxml(at):
    return zip_of(
        [
            ("[Content_Types].xml", b'<?xml version="1.0"?><Types/>'),
            ("word/document.xml", b'<?xml version="1.0"?><w:document/>'),
            ("word/embeddings/oleObject1.bin", payload(at)),
        ]
    )


@case()
def odf(at):
    return zip_of(
        [
            ("mimetype", b"application/vnd.oasis.opendocument.text"),
            ("content.xml", b"<office:document-content/>"),
            ("ObjectReplacements/Object 1", payload(at)),
        ]
    )


@case()
def crx3(at):
    return b"Cr24" + struct.pack("<II", 3, 20) + noise(20) + zip_of([("bg.js", payload(at))])


@case()
def crx2(at):
    return b"Cr24" + struct.pack("<III", 2, 10, 12) + noise(22) + zip_of([("bg.js", payload(at))])


# ------------------------------------------------------------------------------------- other archives


@case(
    "7z",
    lzma="-m0=LZMA",
    lzma2="-m0=LZMA2",
    ppmd="-m0=PPMd",
    bzip2="-m0=BZip2",
    deflate="-m0=Deflate",
    copy="-m0=Copy",
    delta="-m0=Delta:4 -m1=LZMA",
    bcj="-m0=BCJ -m1=LZMA",
    bcj2="-m0=BCJ2 -m1=LZMA -m2=LZMA -m3=LZMA -mb0:1 -mb0s1:2 -mb0s2:3",
    arm="-m0=ARM -m1=LZMA",
    aes="-pinfected",
    aes_header="-pinfected -mhe=on",
    plain_header="-mhc=off",
    not_solid="-ms=off",
)
def seven_zip(at, options):
    sh(at, "head -c 3000 /dev/zero > a.bin; cp payload.exe z.exe; touch out")
    os.remove(at / "out")
    return sh(at, f"7z a -t7z {options} out.7z a.bin z.exe && mv out.7z out")


@case("7z")
def seven_zip_sfx(at):
    return b"MZ" + bytes(700) + bytearray(sh(at, "7z a out.7z payload.exe && mv out.7z out"))


@case("7z")
def seven_zip_bad_start_crc(at):
    archive = bytearray(sh(at, "7z a -mhc=off out.7z payload.exe && mv out.7z out"))
    archive[8:12] = b"\1\2\3\4"
    return archive


@case("7z")
def seven_zip_truncated_tail(at):
    archive = sh(at, "7z a -m0=Copy -mhc=off out.7z payload.exe && mv out.7z out")
    return archive[:-6]


@case(ustar=tarfile.USTAR_FORMAT, gnu=tarfile.GNU_FORMAT, pax=tarfile.PAX_FORMAT)
def tar(at, form):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        archive.add(at / "payload.exe", "deep/" * 30 + "payload.exe")
    return file.getvalue()


@case("tar")
def tar_v7(at):
    return sh(at, "tar --format=v7 -cf out payload.exe")


@case("tar")
def tar_bad_checksum(at):
    archive = bytearray(sh(at, "tar -cf out payload.exe"))
    archive[148:154] = b"000000"
    return archive


@case("tar")
def tar_two_concatenated(at):
    return sh(at, "echo x > x; tar -cf a.tar x; tar -cf b.tar payload.exe; cat a.tar b.tar > out")


@case("tar")
def tar_sparse(at):
    return sh(at, "truncate -s 1M s; tar -cSf out s payload.exe")


@case()
def gz(at):
    return gzip.compress(payload(at))


@case()
def gz_two_members(at):
    half = len(payload(at)) // 2
    return gzip.compress(payload(at)[:half]) + gzip.compress(payload(at)[half:])


@case()
def gz_bad_crc(at):
    data = bytearray(gzip.compress(payload(at)))
    data[-8:-4] = b"\1\2\3\4"
    return data


@case()
def gz_no_trailer(at):
    return gzip.compress(payload(at))[:-8]


@case()
def gz_tail(at):
    return gzip.compress(payload(at)) + noise(5000)


@case()
def gz_all_flags(at):
    body = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = body.compress(payload(at)) + body.flush()
    head = b"\x1f\x8b\x08\x1c\0\0\0\0\0\xff" + b"\4\0abcd" + b"name\0" + b"comment\0"
    return head + data + struct.pack("<II", zlib.crc32(payload(at)), len(payload(at)))


@case()
def zlib_stream(at):
    return zlib.compress(payload(at))


@case()
def bz(at):
    return bz2.compress(payload(at))


@case()
def bz_two_streams(at):
    return bz2.compress(payload(at)[:100]) + bz2.compress(payload(at)[100:])


@case()
def xz(at):
    return lzma.compress(payload(at))


@case()
def xz_x86_filter(at):
    filters = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "preset": 6}]
    return lzma.compress(payload(at), filters=filters)


@case()
def xz_padding_and_two(at):
    return lzma.compress(payload(at)[:99]) + bytes(8) + lzma.compress(payload(at)[99:])


@case()
def lzma_alone(at):
    return lzma.compress(payload(at), format=lzma.FORMAT_ALONE)


@case("zstd", plain="", ultra="--ultra -22", no_size="--no-check --no-content-size")
def zstd(at, options):
    return sh(at, f"cat payload.exe | zstd {options} -c > out")


@case("zstd")
def zstd_skippable_first(at):
    return struct.pack("<II", 0x184D2A50, 5) + b"abcde" + sh(at, "zstd -c payload.exe > out")


@case("lz4", plain="", legacy="-l", blocks="-B4 -BD")
def lz4(at, options):
    return sh(at, f"lz4 {options} payload.exe out")


@case("compress")
def compress(at):
    return sh(at, "cat /usr/share/common-licenses/GPL-3 payload.exe > t; compress -c payload.exe > out || [ $? = 2 ]")


@case("lzip")
def lzip(at):
    return sh(at, "lzip -c payload.exe > out")


@case("lzop")
def lzop(at):
    return sh(at, "lzop -c payload.exe > out")


@case("cpio", newc="newc", crc="crc", odc="odc", bin="bin", ustar="ustar", hpodc="hpodc")
def cpio(at, form):
    return sh(at, f"echo payload.exe | cpio -o -H {form} > out")


@case("ar")
def ar(at):
    return sh(at, "ar rc out.a payload.exe && mv out.a out")


@case("dpkg-deb", gzip="gzip", xz="xz", zstd="zstd", none="none")
def deb(at, how):
    control = "Package: a\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@a.a>\\nDescription: a\\n"
    return sh(
        at,
        f"mkdir -p p/DEBIAN p/usr; printf '{control}' > p/DEBIAN/control; cp payload.exe p/usr/;"
        f" dpkg-deb -Z{how} --root-owner-group -b p out.deb && mv out.deb out",
    )


@case("dpkg-deb")
def deb_in_control(at):
    control = "Package: a\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@a.a>\\nDescription: a\\n"
    return sh(
        at,
        f"mkdir -p p/DEBIAN; printf '{control}' > p/DEBIAN/control; cp payload.exe p/DEBIAN/postinst;"
        " chmod 755 p/DEBIAN/postinst; dpkg-deb --root-owner-group -b p out.deb && mv out.deb out",
    )


@case("rpmbuild", gzip="w9.gzdio", xz="w2.xzdio", zstd="w3.zstdio", bzip2="w9.bzdio")
def rpm(at, how):
    spec = (
        "Name: a\nVersion: 1\nRelease: 1\nSummary: a\nLicense: MIT\nBuildArch: noarch\n%description\na\n"
        "%install\nmkdir -p %{buildroot}/opt; cp %{_sourcedir}/payload.exe %{buildroot}/opt/\n%files\n/opt/payload.exe\n"
    )
    (at / "a.spec").write_text(spec)
    run(at, "rpmbuild", "-bb", "--nodeps", "--define", f"_topdir {at}/r", "--define", f"_sourcedir {at}",
        "--define", f"_binary_payload {how}", "--define", "__os_install_post %{nil}", "a.spec")
    return next((at / "r/RPMS").rglob("*.rpm")).read_bytes()


@case("gcab")
def cab_stored(at):
    return sh(at, "gcab -c out.cab payload.exe && mv out.cab out")


@case("gcab")
def cab_mszip(at):
    return sh(at, "gcab -z -c out.cab payload.exe && mv out.cab out")


@case("gcab")
def cab_bad_checksum(at):
    data = bytearray(sh(at, "gcab -c out.cab payload.exe && mv out.cab out"))
    at_data = len(data) - len(payload(at)) - 8
    data[at_data : at_data + 4] = b"\1\2\3\4"
    return data


@case("gcab")
def cab_in_exe(at):
    return b"MZ" + bytes(1000) + sh(at, "gcab -z -c out.cab payload.exe && mv out.cab out")


@case("arj")
def arj(at):
    return sh(at, "arj a -y out.arj payload.exe && mv out.arj out")


@case("arj", stored="-m0", fastest="-m4", best="-m1")
def arj_method(at, options):
    return sh(at, f"arj a -y {options} out.arj payload.exe && mv out.arj out")


@case("jlha", lh5="ao5", lh6="ao6", lh7="ao7", lh0="az")
def lha(at, command):
    return sh(at, f"jlha {command} out.lzh payload.exe && mv out.lzh out")


@case("arc")
def arc(at):
    return sh(at, "arc a out.arc payload.exe && mv out.arc out")


@case("bsdtar", gzip="", none="--options xar:compression=none", bzip2="--options xar:compression=bzip2",
      lzma="--options xar:compression=lzma", xz="--options xar:compression=xz")
def xar(at, options):
    return sh(at, f"bsdtar --format=xar {options} -cf out payload.exe")


@case("bsdtar", uuencode="--uuencode", b64encode="--b64encode")
def tar_filter(at, options):
    return sh(at, f"bsdtar {options} -cf out payload.exe")


@case("wimcapture", none="--compress=none", xpress="--compress=XPRESS", lzx="--compress=LZX")
def wim(at, options):
    return sh(at, f"mkdir d; cp payload.exe d/; wimcapture d out.wim {options} && mv out.wim out")


@case("makensis", zlib="zlib", bzip2="bzip2", lzma="lzma", zlib_solid="/SOLID zlib", lzma_solid="/SOLID lzma")
def nsis(at, how):
    (at / "a.nsi").write_text(
        f"SetCompressor {how}\nUnicode true\nName a\nOutFile out\nSection\nSetOutPath $TEMP\nFile payload.exe\nSectionEnd\n"
    )
    return sh(at, "makensis -V1 a.nsi")


@case("wixl")
def msi(at):
    (at / "a.wxs").write_text(
        '<?xml version="1.0"?><Wix xmlns="http://schemas.microsoft.com/wix/2006/wi"><Product Id="*" Name="a"'
        ' Language="1033" Version="1.0" Manufacturer="a" UpgradeCode="12345678-1234-1234-1234-123456789abc">'
        '<Package InstallerVersion="200" Compressed="yes"/><Media Id="1" Cabinet="a.cab" EmbedCab="yes"/>'
        '<Directory Id="TARGETDIR" Name="SourceDir"><Directory Id="D" Name="a"><Component Id="C"'
        ' Guid="12345678-1234-1234-1234-123456789abd"><File Id="F" Source="payload.exe"/></Component></Directory>'
        '</Directory><Feature Id="A" Level="1"><ComponentRef Id="C"/></Feature></Product></Wix>'
    )
    return sh(at, "wixl -o out.msi a.wxs && mv out.msi out")


def asar_of(data):
    header = json.dumps({"files": {"a.exe": {"size": len(data), "offset": "0"}}}).encode()
    padded = header + bytes(-len(header) % 4)
    return (
        struct.pack("<IIII", 4, len(padded) + 8, len(padded) + 4, len(header)) + padded + data
    )


@case()
def asar(at):
    return asar_of(payload(at))


# --------------------------------------------------------------------------------- disks, file systems


@case("genisoimage", plain="", joliet="-J", rock="-R", udf="-udf", both="-J -R")
def iso(at, options):
    return sh(at, f"mkdir d; cp payload.exe d/; genisoimage -quiet {options} -o out d")


@case("xorriso")
def iso_xorriso(at):
    return sh(at, "mkdir d; cp payload.exe d/; xorriso -as mkisofs -quiet -o out d")


@case("genisoimage")
def iso_raw_2352(at):
    plain = sh(at, "mkdir d; cp payload.exe d/; genisoimage -quiet -o out d")
    sectors = [plain[i : i + 2048] for i in range(0, len(plain), 2048)]
    sync = b"\0" + b"\xff" * 10 + b"\0"
    return b"".join(sync + b"\0\2\0\1" + s.ljust(2048, b"\0") + bytes(288) for s in sectors)


@case("genisoimage")
def hfs_iso(at):
    return sh(at, "mkdir d; cp payload.exe d/; genisoimage -quiet -hfs -o out d")


@case("mksquashfs", gzip="gzip", xz="xz", lz4="lz4", zstd="zstd", lzo="lzo", lzma="lzma")
def squashfs(at, how):
    return sh(at, f"mkdir d; cp payload.exe d/; mksquashfs d out -quiet -no-progress -comp {how} -all-root")


@case("mksquashfs")
def squashfs_no_fragments(at):
    return sh(at, "mkdir d; cp payload.exe d/; mksquashfs d out -quiet -no-progress -no-fragments -noD -noI")


@case("mksquashfs")
def appimage(at):
    elf = Path("/bin/true").read_bytes()
    return elf + sh(at, "mkdir d; cp payload.exe d/; mksquashfs d out -quiet -no-progress")


@case("mkfs.cramfs")
def cramfs(at):
    return sh(at, "mkdir d; cp payload.exe d/; mkfs.cramfs d out")


@case("mke2fs", ext2="-t ext2", ext3="-t ext3", ext4="-t ext4", ext4_inline="-t ext4 -O inline_data -I 1024")
def ext(at, options):
    return sh(at, f"mkdir d; cp payload.exe d/; mke2fs -q {options} -d d out.img 4M")


@case("mkfs.vfat", "mcopy", fat12="-F 12 -C out.img 1440", fat16="-F 16 -C out.img 16384", fat32="-F 32 -C out.img 65536")
def fat(at, options):
    return sh(at, f"mkfs.vfat {options}; mcopy -i out.img payload.exe ::long-file-name.exe")


@case("mkntfs", "ntfscp")
def ntfs(at):
    return sh(at, "truncate -s 4M out.img; mkntfs -qQF out.img; ntfscp -f out.img payload.exe p.exe")


@case("hformat", "hcopy")
def hfs(at):
    return sh(at, "export HOME=$PWD; truncate -s 1M out.img; hformat out.img; hmount out.img; hcopy -r payload.exe :p.exe; humount")


def fat_image(at):
    return sh(at, "mkfs.vfat -F 12 -C out.img 1440 > /dev/null; mcopy -i out.img payload.exe ::")


@case("mkfs.vfat", "mcopy", "qemu-img", qcow2="-O qcow2", qcow2_c="-c -O qcow2", vmdk="-O vmdk",
      vmdk_stream="-O vmdk -o subformat=streamOptimized", vhd="-O vpc", vhd_fixed="-O vpc -o subformat=fixed",
      vhdx="-O vhdx", vdi="-O vdi", qcow1="-O qcow")
def disk(at, options):
    fat_image(at)
    return sh(at, f"mv out.img in.img; qemu-img convert -f raw {options} in.img out")


@case("mkfs.vfat", "mcopy", "sfdisk", mbr="dos", gpt="gpt")
def partitions(at, label):
    image = fat_image(at)
    disk = at / "out.img"
    disk.write_bytes(bytes(4 << 20))
    run(at, "sfdisk", "-q", disk, feed=f"label: {label}\nstart=2048, size=2880\n".encode())
    data = bytearray(disk.read_bytes())
    data[2048 * 512 : 2048 * 512 + len(image)] = image
    return data


@case("mkfs.vfat", "mcopy", "sfdisk")
def partitions_extended(at):
    image = fat_image(at)
    disk = at / "out.img"
    disk.write_bytes(bytes(8 << 20))
    run(at, "sfdisk", "-q", disk, feed=b"label: dos\nstart=2048,size=2048\nstart=4096,size=8192,type=5\nstart=6144,size=2880\n")
    data = bytearray(disk.read_bytes())
    data[6144 * 512 : 6144 * 512 + len(image)] = image
    return data


def tar_of(entries):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


@case()
def docker_save(at):
    layer = tar_of([("opt/payload.exe", payload(at)), ("etc/.wh.passwd", b"")])
    manifest = [{"Config": "c.json", "RepoTags": ["a:1"], "Layers": ["l/layer.tar"]}]
    return tar_of([("l/layer.tar", layer), ("c.json", b"{}"), ("manifest.json", json.dumps(manifest).encode())])


@case()
def oci_layout(at):
    layer = gzip.compress(tar_of([("opt/payload.exe", payload(at))]))
    digest = sha256(layer).hexdigest()
    manifest = json.dumps({"schemaVersion": 2, "layers": [{"digest": f"sha256:{digest}"}]}).encode()
    index = {"schemaVersion": 2, "manifests": [{"digest": f"sha256:{sha256(manifest).hexdigest()}"}]}
    return tar_of(
        [
            ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
            ("index.json", json.dumps(index).encode()),
            (f"blobs/sha256/{sha256(manifest).hexdigest()}", manifest),
            (f"blobs/sha256/{digest}", layer),
        ]
    )


@case()
def dmg_zlib(at):
    return dmg(at, 0x80000005, zlib.compress)


@case()
def dmg_bzip2(at):
    return dmg(at, 0x80000006, bz2.compress)


@case()
def dmg_raw(at):
    return dmg(at, 1, bytes)


def dmg(at, kind, pack):
    """One block map whose only chunk is a file as it is, behind no file system."""
    disk = payload(at).ljust(-(-len(payload(at)) // 512) * 512, b"\0")
    if shutil.which("genisoimage"):
        disk = sh(at, "mkdir d; cp payload.exe d/; genisoimage -quiet -o out d")
    data = pack(disk)
    sectors = len(disk) // 512
    chunks = [(kind, 0, sectors, 0, len(data)), (0xFFFFFFFF, sectors, 0, len(data), 0)]
    mish = struct.pack(">4sIQQQII", b"mish", 1, 0, sectors, 0, 2056, 0) + bytes(24)
    mish += struct.pack(">II", 2, 32) + bytes(128) + struct.pack(">I", len(chunks))
    for entry in chunks:
        mish += struct.pack(">IIQQQQ", entry[0], 0, *entry[1:])
    text = base64.b64encode(mish).decode()
    plist = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<plist version="1.0"><dict><key>resource-fork</key><dict><key>blkx</key>'
        f"<array><dict><key>Attributes</key><string>0x0050</string><key>Data</key><data>\n{text}\n</data>"
        "<key>ID</key><string>0</string><key>Name</key><string>a</string></dict></array></dict></dict></plist>\n"
    ).encode()
    koly = struct.pack(">4sIIIQQQQQII", b"koly", 4, 512, 1, 0, 0, len(data), 0, 0, 1, 1) + bytes(16)
    koly += struct.pack(">II", 2, 32) + bytes(128)
    koly += struct.pack(">QQ", len(data), len(plist)) + bytes(120)
    koly += struct.pack(">II", 2, 32) + bytes(128) + struct.pack(">IQ", 1, sectors) + bytes(12)
    return data + plist + koly.ljust(512, b"\0")


# ------------------------------------------------------------------------------------------------ mail

HEAD = b"From: a@example.org\r\nTo: b@example.org\r\nSubject: x\r\nMIME-Version: 1.0\r\n"


def part(encoding, body, name=b"p.exe", kind=b"application/octet-stream"):
    return (
        b"Content-Type: " + kind + b'; name="' + name + b'"\r\nContent-Transfer-Encoding: ' + encoding
        + b'\r\nContent-Disposition: attachment; filename="' + name + b'"\r\n\r\n' + body
    )


def b64(data, width=76):
    text = base64.b64encode(data)
    return b"\r\n".join(text[i : i + width] for i in range(0, len(text), width)) + b"\r\n"


def uu(data, name=b"p.exe"):
    lines = [binascii.b2a_uu(data[i : i + 45]) for i in range(0, len(data), 45)]
    return b"begin 644 " + name + b"\n" + b"".join(lines) + b"`\nend\n"


def yenc(data):
    out, line = bytearray(), 0
    for byte in data:
        value = (byte + 42) & 255
        if value in (0, 10, 13, 61):
            out += bytes([61, (value + 64) & 255])
            line += 1
        else:
            out.append(value)
        line += 1
        if line >= 128:
            out += b"\r\n"
            line = 0
    size = str(len(data)).encode()
    return b"=ybegin line=128 size=" + size + b" name=p.exe\r\n" + out + b"\r\n=yend size=" + size + b"\r\n"


def mixed(*parts, boundary=b"XYZ", declared=None, end=True, kind=b"mixed"):
    head = HEAD + b"Content-Type: multipart/" + kind + b'; boundary="' + (declared or boundary) + b'"\r\n\r\npreamble\r\n'
    body = b"".join(b"--" + boundary + b"\r\n" + p + b"\r\n" for p in parts)
    return head + body + (b"--" + boundary + b"--\r\n" if end else b"")


TEXT = b"Content-Type: text/plain\r\n\r\nhello\r\n"


@case()
def mail_base64(at):
    return mixed(TEXT, part(b"base64", b64(payload(at))))


@case()
def mail_quoted_printable(at):
    text = quopri.encodestring(payload(at).replace(b"\r", b"=0D").replace(b"\n", b"=0A"))
    text = text.replace(b"=3D0D", b"=0D").replace(b"=3D0A", b"=0A").replace(b"\n", b"\r\n")
    return mixed(TEXT, part(b"quoted-printable", text))


@case()
def mail_uuencode(at):
    return mixed(TEXT, part(b"x-uuencode", uu(payload(at))))


@case()
def mail_uu_in_text(at):
    return HEAD + b"\r\nlook at this:\r\n\r\n" + uu(payload(at))


@case()
def mail_yenc(at):
    return HEAD + b"Content-Type: text/plain\r\n\r\n" + yenc(payload(at))


@case()
def mail_no_end_boundary(at):
    return mixed(TEXT, part(b"base64", b64(payload(at))), end=False)


@case()
def mail_base64_junk(at):
    return mixed(part(b"base64", b64(payload(at)).replace(b"\r\n", b"!\r\n *")))


@case()
def mail_base64_long_line(at):
    return mixed(part(b"base64", base64.b64encode(payload(at))))


@case()
def mail_base64_lf(at):
    return mixed(part(b"base64", b64(payload(at)))).replace(b"\r\n", b"\n")


@case()
def mail_base64_cr(at):
    return mixed(part(b"BASE64 ", b64(payload(at)))).replace(b"\r\n", b"\n")


@case()
def mail_encoding_comment(at):
    return mixed(part(b"(x) base64 (y)", b64(payload(at))))


@case()
def mail_encoding_twice(at):
    return mixed(part(b"7bit\r\nContent-Transfer-Encoding: base64", b64(payload(at))))


@case()
def mail_unknown_encoding(at):
    return mixed(part(b"foo64", b64(payload(at))))


@case()
def mail_boundary_space(at):
    return mixed(part(b"base64", b64(payload(at)))).replace(b"--XYZ\r\n", b"--XYZ  \r\n")


@case()
def mail_boundary_unquoted(at):
    return mixed(part(b"base64", b64(payload(at)))).replace(b'"XYZ"', b"XYZ")


@case()
def mail_boundary_twice(at):
    return mixed(part(b"base64", b64(payload(at)))).replace(b'boundary="XYZ"', b'boundary="ABC"; boundary="XYZ"')


@case()
def mail_boundary_2231(at):
    return mixed(part(b"base64", b64(payload(at)))).replace(b'boundary="XYZ"', b'boundary*0="X"; boundary*1="YZ"')


@case()
def mail_nested(at):
    inner = mixed(TEXT, part(b"base64", b64(payload(at))), boundary=b"IN")
    return mixed(TEXT, b"Content-Type: message/rfc822\r\n\r\n" + inner)


@case()
def mail_rfc822_base64(at):
    inner = mixed(part(b"base64", b64(payload(at))), boundary=b"IN")
    return mixed(b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b64(inner))


@case()
def mail_multipart_deep(at):
    body = part(b"base64", b64(payload(at)))
    for level in range(8):
        mark = b"L%d" % level
        body = b'Content-Type: multipart/mixed; boundary="' + mark + b'"\r\n\r\n--' + mark + b"\r\n" + body + b"\r\n--" + mark + b"--\r\n"
    return HEAD + body


@case(alternative=b"alternative", related=b"related", digest=b"digest", report=b"report", signed=b"signed", odd=b"odd")
def mail_multipart(at, kind):
    return mixed(TEXT, part(b"base64", b64(payload(at))), kind=kind)


@case()
def mail_whole_body(at):
    return HEAD + part(b"base64", b64(payload(at)))


@case()
def mail_blank_lines_first(at):
    return b"\r\n\r\n" + mixed(part(b"base64", b64(payload(at))))


@case()
def mbox(at):
    mail = mixed(part(b"base64", b64(payload(at)))).replace(b"\r\n", b"\n")
    return b"From a@b Mon Jan  1 00:00:00 2024\nFrom: a\nTo: b\nSubject: x\n\nhello\n\nFrom c@d Mon Jan  1 00:00:00 2024\n" + mail


@case()
def mail_zip(at):
    return mixed(TEXT, part(b"base64", b64(bytes(zip_of([("a.exe", payload(at))]))), b"a.zip"))


@case()
def mail_after_epilogue(at):
    return mixed(TEXT) + b"\r\nepilogue\r\n" + uu(payload(at))


@case()
def mhtml(at):
    return mixed(
        b"Content-Type: text/html\r\nContent-Location: file:///a.htm\r\n\r\n<html></html>\r\n",
        b"Content-Location: file:///a.exe\r\n" + part(b"base64", b64(payload(at))),
        kind=b"related",
    )


@case("openssl")
def smime_signed(at):
    (at / "m").write_bytes(part(b"base64", b64(payload(at))))
    return sh(
        at,
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout k -out c -subj /CN=a 2>&1;"
        " openssl smime -sign -nodetach -signer c -inkey k -in m -out out -from a@b -to b@c -subject x",
    )


@case("openssl")
def smime_multipart(at):
    (at / "m").write_bytes(part(b"base64", b64(payload(at))))
    return sh(
        at,
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout k -out c -subj /CN=a 2>&1;"
        " openssl smime -sign -signer c -inkey k -in m -out out -from a@b -to b@c -subject x",
    )


@case()
def uuencoded(at):
    return uu(payload(at))


@case()
def yenc_alone(at):
    return yenc(payload(at))


def tnef_of(data):
    def attribute(level, tag, body):
        return struct.pack("<BII", level, tag, len(body)) + body + struct.pack("<H", sum(body) & 0xFFFF)

    return (
        struct.pack("<IH", 0x223E9F78, 1)
        + attribute(1, 0x00089006, struct.pack("<I", 0x10000))
        + attribute(2, 0x00069002, bytes(14))
        + attribute(2, 0x00018010, b"p.exe\0")
        + attribute(2, 0x0006800F, data)
    )


@case()
def tnef(at):
    return tnef_of(payload(at))


@case()
def mail_tnef(at):
    return mixed(TEXT, part(b"base64", b64(tnef_of(payload(at))), b"winmail.dat", b"application/ms-tnef"))


# ------------------------------------------------------------------------------------- documents, text


def pdf_of(objects, tail=b"", header=b"%PDF-1.5\n%\xe2\xe3\xcf\xd3\n"):
    out, offsets = bytearray(header), []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(offsets) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(offsets) + 1, start)
    return bytes(out) + tail


def stream(dictionary, data, length=None):
    return b"<< " + dictionary + b" /Length %d >>\nstream\n" % (len(data) if length is None else length) + data + b"\nendstream"


def embedded_pdf(filters, data, length=None):
    return pdf_of(
        [
            b"<< /Type /Catalog /Pages 2 0 R /Names << /EmbeddedFiles << /Names [(p.exe) 4 0 R] >> >> >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>",
            b"<< /Type /Filespec /F (p.exe) /EF << /F 5 0 R >> >>",
            stream(b"/Type /EmbeddedFile" + filters, data, length),
        ]
    )


def run_length(data):
    out = bytearray()
    for i in range(0, len(data), 128):
        piece = data[i : i + 128]
        out += bytes([len(piece) - 1]) + piece
    return bytes(out) + b"\x80"


def lzw(data):
    """Codes of nine bits with a clear before the table grows: any reader takes that."""
    bits, count = 0, 0
    codes = []
    for i, byte in enumerate(data):
        if i % 200 == 0:
            codes.append(256)
        codes.append(byte)
    for code in codes + [257]:
        bits = bits << 9 | code
        count += 9
    pad = -count % 8
    return (bits << pad).to_bytes((count + pad) // 8, "big")


@case(
    none=(b"", bytes),
    flate=(b" /Filter /FlateDecode", zlib.compress),
    hex=(b" /Filter /ASCIIHexDecode", lambda d: binascii.hexlify(d) + b">"),
    a85=(b" /Filter /ASCII85Decode", lambda d: base64.a85encode(d) + b"~>"),
    run_length=(b" /Filter /RunLengthDecode", run_length),
    lzw=(b" /Filter /LZWDecode", lzw),
    cascade=(b" /Filter [/AHx /Fl]", lambda d: binascii.hexlify(zlib.compress(d)) + b">"),
    escaped_name=(b" /Filter /Fl#61teDecode", zlib.compress),
    predictor=(
        b" /Filter /FlateDecode /DecodeParms << /Predictor 12 /Columns 4 >>",
        lambda d: zlib.compress(b"".join(b"\0" + d[i : i + 4].ljust(4, b"\0") for i in range(0, len(d), 4))),
    ),
    truncated_flate=(b" /Filter /FlateDecode", lambda d: zlib.compress(d)[:-4]),
)
def pdf_filter(at, how):
    return embedded_pdf(how[0], how[1](payload(at)))


@case()
def pdf_wrong_length(at):
    return embedded_pdf(b" /Filter /FlateDecode", zlib.compress(payload(at)), 3)


@case()
def pdf_no_xref(at):
    whole = embedded_pdf(b" /Filter /FlateDecode", zlib.compress(payload(at)))
    return whole[: whole.rfind(b"xref\n0 ")]


@case()
def pdf_junk_before(at):
    return noise(900) + embedded_pdf(b" /Filter /FlateDecode", zlib.compress(payload(at)))


@case()
def pdf_overridden(at):
    return embedded_pdf(b" /Filter /FlateDecode", zlib.compress(payload(at))) + b"5 0 obj\n<< >>\nendobj\nxref\n0 0\ntrailer\n<< /Root 1 0 R >>\nstartxref\n9\n%%EOF\n"


@case("qpdf", rc4_40="40", rc4_128="128 --use-aes=n", aes_128="128 --use-aes=y", aes_256="256")
def pdf_encrypted(at, how):
    (at / "in.pdf").write_bytes(embedded_pdf(b" /Filter /FlateDecode", zlib.compress(payload(at))))
    return sh(at, f"qpdf --allow-weak-crypto --encrypt '' owner {how} -- in.pdf out")


@case("qpdf")
def pdf_object_streams(at):
    (at / "in.pdf").write_bytes(embedded_pdf(b"", payload(at)))
    return sh(at, "qpdf --object-streams=generate in.pdf out")


@case()
def rtf_object(at):
    data = payload(at)
    ole = struct.pack("<II", 0x501, 2) + struct.pack("<I", 8) + b"Package\0" + struct.pack("<III", 0, 0, 0)
    native = struct.pack("<H", 2) + b"p.exe\0c:\\p.exe\0" + struct.pack("<II", 0x30000, 9) + b"c:\\p.exe\0"
    native += struct.pack("<I", len(data)) + data + b"\0\0"
    body = ole[:-4] + struct.pack("<I", len(native)) + native
    return b"{\\rtf1{\\object\\objemb{\\*\\objclass Package}{\\*\\objdata " + binascii.hexlify(body) + b"}}}"


@case()
def rtf_object_obfuscated(at):
    text = rtf_object_body(payload(at))
    spaced = b"\n".join(text[i : i + 7] for i in range(0, len(text), 7))
    return b"{\\rt{\\object\\objemb{\\*\\objdata {\\*\\ignored x}" + spaced + b"}}}"


def rtf_object_body(data):
    head = struct.pack("<III", 0x501, 2, 8) + b"Package\0" + struct.pack("<II", 0, 0)
    native = struct.pack("<H", 2) + b"p\0p\0" + struct.pack("<II", 0x30000, 2) + b"p\0" + struct.pack("<I", len(data)) + data
    return binascii.hexlify(head + struct.pack("<I", len(native)) + native)


@case()
def html_data_url(at):
    return b'<html><body><a href="data:application/octet-stream;base64,' + base64.b64encode(payload(at)) + b'">x</a></body></html>'


@case()
def html_smuggling(at):
    return (
        b"<html><body><script>var b = atob('" + base64.b64encode(payload(at)) + b"');var a=new Uint8Array(b.length);"
        b"for(var i=0;i<b.length;i++)a[i]=b.charCodeAt(i);var u=URL.createObjectURL(new Blob([a]));"
        b"var l=document.createElement('a');l.href=u;l.download='p.exe';l.click();</script></body></html>"
    )


@case()
def html_smuggling_array(at):
    numbers = ",".join(str(byte) for byte in payload(at)).encode()
    return (
        b"<html><body><script>var a=new Uint8Array([" + numbers + b"]);"
        b"navigator.msSaveOrOpenBlob(new Blob([a]),'p.exe');</script></body></html>"
    )


@case()
def svg_smuggling(at):
    return (
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><image href="data:application/octet-stream;base64,'
        + base64.b64encode(payload(at)) + b'"/><script>document.location="x"</script></svg>'
    )


@case()
def powershell_base64(at):
    return b"$b=[Convert]::FromBase64String('" + base64.b64encode(payload(at)) + b"')\n[IO.File]::WriteAllBytes(\"$env:TEMP\\p.exe\",$b)\n"


@case()
def powershell_gzip(at):
    data = base64.b64encode(gzip.compress(payload(at)))
    return b"$s=New-Object IO.MemoryStream(,[Convert]::FromBase64String('" + data + b"'));$g=New-Object IO.Compression.GzipStream($s,0)\n"


@case()
def php_layers(at):
    pack = zlib.compressobj(9, zlib.DEFLATED, -15)
    raw = pack.compress(payload(at)) + pack.flush()
    return b"<?php eval(gzinflate(base64_decode('" + base64.b64encode(raw) + b"'))); ?>\n"


@case()
def shell_base64(at):
    return b"#!/bin/sh\nbase64 -d > /tmp/p <<EOF\n" + base64.encodebytes(payload(at)) + b"EOF\nchmod +x /tmp/p\n"


@case()
def xml_word(at):
    return (
        b'<?xml version="1.0" standalone="yes"?>\n<?mso-application progid="Word.Document"?>\n'
        b'<w:wordDocument xmlns:w="http://schemas.microsoft.com/office/word/2003/wordml"><w:binData w:name="a.bin">'
        + base64.encodebytes(payload(at)) + b"</w:binData></w:wordDocument>"
    )


@case()
def xdp(at):
    pdf = embedded_pdf(b" /Filter /FlateDecode", zlib.compress(payload(at)))
    return (
        b'<?xml version="1.0"?><xdp:xdp xmlns:xdp="http://ns.adobe.com/xdp/"><pdf xmlns="http://ns.adobe.com/xdp/pdf/">'
        b"<document><chunk>" + base64.encodebytes(pdf) + b"</chunk></document></pdf></xdp:xdp>"
    )


@case()
def onenote(at):
    blob = bytes.fromhex("e716e3bd65261145a4c48d4d0b7a9eac") + struct.pack("<QQQ", len(payload(at)), 0, 0)[:20]
    head = bytes.fromhex("e4525c7b8cd8a74daeb15378d02996d3").ljust(1024, b"\0")
    return head + blob + payload(at) + bytes(16)


@case(fws=0, cws=1)
def swf(at, packed):
    body = b"\x78\0\5\x5f\0\0\x0f\xa0\0\0\x0c\1\0" + struct.pack("<HI", 87 << 6 | 63, len(payload(at)) + 6) + b"\1\0" + bytes(4) + payload(at) + b"\0\0"
    head = struct.pack("<BI", 9, len(body) + 8)
    return b"CWS" + head + zlib.compress(body) if packed else b"FWS" + head + body


@case("msibuild")
def ole2_stream(at):
    return sh(
        at,
        "cp payload.exe p; printf 'Name\\tData\\ns72\\tV0\\nBinary\\tName\\np\\tp\\n' > Binary.idt; mkdir Binary;"
        " cp p Binary/p; msibuild out.msi -s a; msibuild out.msi -i Binary.idt || true; msibuild out.msi -a Extra payload.exe; mv out.msi out",
    )


# ------------------------------------------------------------------------------ programs and carriers


@case()
def exe_overlay(at):
    return payload(at).replace(b"\0\0\0\0", b"\0\0\0\1", 1) + payload(at)


@case()
def elf_overlay_zip(at):
    return Path("/bin/true").read_bytes() + zip_of([("p.exe", payload(at))])


@case()
def png_tail_zip(at):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    image = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    image += chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
    return image + zip_of([("p.exe", payload(at))])


@case()
def cryptff(at):
    return b"\xb6\xb9\xac\xae\xfe\xff\xff\xff".ljust(16, b"\0") + bytes(byte ^ 255 for byte in payload(at))


@case()
def pyinstaller(at):
    data = zlib.compress(payload(at))
    name = b"p.exe\0"
    entry_len = 18 + len(name) + (-(18 + len(name)) % 16)
    toc = struct.pack(">IIIIBc", entry_len, 0, len(data), len(payload(at)), 1, b"b") + name
    toc = toc.ljust(entry_len, b"\0")
    package_len = len(data) + len(toc) + 88
    cookie = struct.pack(">8sIIII64s", b"MEI\014\013\012\013\016", package_len, len(data), len(toc), 311, b"libpython3.11.so")
    return Path("/bin/true").read_bytes() + data + toc + cookie


def main():
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(Path(__file__).parent))
    import more  # noqa: F401  (registers its cases)

    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    target.mkdir(parents=True, exist_ok=True)
    data = source.read_bytes()
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    failed = 0
    for name, programs, make in CASES:
        missing = [program for program in programs if not shutil.which(program)]
        if missing:
            print(f"skipped {name}: {missing[0]}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            at = Path(folder)
            (at / "payload.exe").write_bytes(data)
            os.chmod(at / "payload.exe", 0o644)
            try:
                (target / name).write_bytes(make(at))
            except (RuntimeError, OSError, StopIteration) as error:
                failed += 1
                print(f"failed {name}: {error}")
    print(f"made {len(list(target.iterdir()))}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
