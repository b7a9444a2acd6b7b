"""Further cases, of the kinds that another author would make: read `make.py` first, which has the helpers.

Left out, at the end, are cases in which the payload stands in the file as it is (only signatures of its bytes find it
there), or whose form is told as one without a reader.
"""

import codecs
import pickle
import plistlib
import re
import sqlite3
import urllib.parse

from __main__ import *  # noqa: F403


def rawd(d, level=9, strategy=0):
    c = zlib.compressobj(level, 8, -15, 9, strategy)
    return c.compress(d) + c.flush()


def z(at):
    return zip_of([("payload.exe", payload(at))])


@case()
def zip_name_mismatch(at):
    a = z(at)
    c = central(a)
    a[c + 46 : c + 57] = b"readme.text"
    return a


@case()
def zip_broken_local_magic(at):
    a = z(at)
    a[0:4] = b"QK\3\4"
    return a


@case()
def zip_broken_central_magic(at):
    a = z(at)
    c = central(a)
    a[c : c + 4] = b"QK\1\2"
    return a


@case()
def zip_both_magic_second_entry(at):
    a = zip_of([("a.txt", b"hello"), ("payload.exe", payload(at))])
    i = a.find(b"PK\3\4", 4)
    a[i : i + 4] = b"XX\3\4"
    return a


@case(nosig=0, stored=1, lyingzero=2)
def zip_desc(at, k):
    d = payload(at)
    c = zlib.compressobj(9, 8, -15)
    r = c.compress(d) + c.flush() if k != 1 else d
    m = 8 if k != 1 else 0
    crc = zlib.crc32(d)
    lo = b"PK\3\4" + struct.pack("<HHHHHIIIHH", 20, 8, m, 0, 0, 0, 0, 0, 5, 0) + b"p.exe"
    desc = (b"" if k == 0 else b"PK\7\x08") + struct.pack(
        "<III", crc if k < 2 else 0, len(r) if k < 2 else 0, len(d) if k < 2 else 0
    )
    body = lo + r + desc
    cd = (
        b"PK\1\2"
        + struct.pack("<HHHHHHIIIHHHHHII", 20, 20, 8, m, 0, 0, crc, len(r), len(d), 5, 0, 0, 0, 0, 0, 0)
        + b"p.exe"
    )
    return body + cd + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(cd), len(body), 0)


@case()
def zip_streamed_no_cd(at):
    a = zip_desc_raw(at)
    return a


def zip_desc_raw(at):
    d = payload(at)
    c = zlib.compressobj(9, 8, -15)
    r = c.compress(d) + c.flush()
    return (
        b"PK\3\4"
        + struct.pack("<HHHHHIIIHH", 20, 8, 8, 0, 0, 0, 0, 0, 5, 0)
        + b"p.exe"
        + r
        + b"PK\7\x08"
        + struct.pack("<III", zlib.crc32(d), len(r), len(d))
    )


@case()
def zip_empty_name(at):
    return zip_of([("", payload(at))])


@case()
def zip_long_name(at):
    return zip_of([("x" * 65000, payload(at))])


@case()
def zip_nul_name(at):
    a = zip_of([("paXload.exe", payload(at))])
    return bytes(a).replace(b"paXload", b"pa\0load")


@case()
def zip_dotdot(at):
    return zip_of([("../../../../etc/p.exe", payload(at))])


@case()
def zip_zip64_no_extra(at):
    a = z(at)
    c = central(a)
    a[c + 20 : c + 28] = b"\xff" * 8
    return a


@case()
def zip_zip64_bad_locator(at):
    a = z(at)
    e = eocd(a)
    return a[:e] + b"PK\6\7" + struct.pack("<IQI", 0, 0x12345678, 1) + a[e:]


@case()
def zip_zip64_eocd(at):
    a = z(at)
    e = eocd(a)
    c = central(a)
    n = e - c
    z64 = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1, 1, n, c)
    loc = b"PK\6\7" + struct.pack("<IQI", 0, e, 1)
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return a[:e] + z64 + loc + end


@case()
def zip_two_eocd_decoy(at):
    a = z(at)
    b = zip_of([("h.txt", b"hello")])
    c = central(b)
    off = len(a)
    cd = bytes(b[c : eocd(b)])
    cd = cd[:42] + struct.pack("<I", off) + cd[46:]
    return a + b[:c] + cd + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(cd), off + c, 0)


@case()
def zip_in_comment(at):
    b = zip_of([("h.txt", b"hello")])
    a = z(at)
    e = eocd(b)
    b[e + 20 : e + 22] = struct.pack("<H", len(a))
    return b + a


@case(pk00=b"PK00", span=b"PK\7\x08", spaces=b"    ", nul=bytes(512), pdf=b"%PDF-1.4\n", mz=b"MZ" + bytes(58))
def zip_prefixed(at, p):
    return p + z(at)


@case()
def zip_extra_broken(at):
    d = payload(at)
    lo = (
        b"PK\3\4"
        + struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 0, zlib.crc32(d), len(d), len(d), 5, 6)
        + b"p.exe"
        + b"\1\0\xff\xffab"
    )
    cd = (
        b"PK\1\2"
        + struct.pack(
            "<HHHHHHIIIHHHHHII", 20, 20, 0, 0, 0, 0, zlib.crc32(d), len(d), len(d), 5, 6, 0, 0, 0, 0, 0
        )
        + b"p.exe"
        + b"\1\0\xff\xffab"
    )
    return lo + d + cd + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(cd), len(lo) + len(d), 0)


@case(**{f"bit{b}": b for b in (1, 2, 4, 5, 6, 11, 13, 15)})
def zip_flag(at, b):
    a = z(at)
    c = central(a)
    v = 1 << b
    a[6:8] = struct.pack("<H", v)
    a[c + 8 : c + 10] = struct.pack("<H", v)
    return a


@case()
def zip_stored_packed_size_less(at):
    a = zip_of([("payload.exe", payload(at))], compression=0)
    c = central(a)
    a[18:22] = struct.pack("<I", 9)
    a[c + 20 : c + 24] = struct.pack("<I", 9)
    return a


@case()
def zip_claims_stored_is_deflate(at):
    a = z(at)
    c = central(a)
    a[8] = 0
    a[c + 10] = 0
    return a


@case()
def zip_dirs_attr(at):
    a = z(at)
    c = central(a)
    a[c + 38 : c + 42] = struct.pack("<I", 0x10)
    return a


@case()
def zip_cd_offset_zero_prefix(at):
    a = z(at)
    e = eocd(a)
    a[e + 16 : e + 20] = bytes(4)
    return b"junkjunk" * 20 + a


@case()
def apk_signing_block(at):
    a = zip_of([("AndroidManifest.xml", b"\3\0\x08\0"), ("classes.dex", payload(at))])
    c = central(a)
    e = eocd(a)
    blk = b"x" * 100
    n = len(blk) + 24
    sb = struct.pack("<Q", n) + blk + struct.pack("<Q", n) + b"APK Sig Block 42"
    a[e + 16 : e + 20] = struct.pack("<I", c + len(sb))
    return a[:c] + sb + a[c:]


@case(
    "bsdtar",
    deflate="",
    store="--options zip:compression=store",
    aes="--options zip:encryption=aes256 --passphrase infected",
    zc="--options zip:encryption=zipcrypt --passphrase infected",
    z64="--options zip:zip64",
)
def zip_bsdtar(at, o):
    return sh(at, f"bsdtar --format=zip {o} -cf out payload.exe")


@case("zip", lvl0="-0", bz="-Z bzip2", streamed="-fd -", entropic="-9 -X")
def zip_infozip(at, o):
    if o.endswith("-"):
        return sh(at, "cat payload.exe | zip -q -fd - - > out")
    return sh(at, f"zip -q {o} out.zip payload.exe && mv out.zip out")


@case("zip", "unzipsfx")
def zip_sfx(at):
    return sh(at, "zip -q a.zip payload.exe; cat $(which unzipsfx) a.zip > out; zip -qA out")


@case()
def zip_jmod(at):
    return b"JM\1\0" + bytes(z(at))


@case()
def zip_zipapp(at):
    return b"#!/usr/bin/env python3\n" + bytes(zip_of([("__main__.py", payload(at))]))


@case(
    "7z",
    aes128="-mem=AES128 -pinfected",
    aes192="-mem=AES192 -pinfected",
    xz="-mm=xz",
    zstd="-mm=zstd",
    copyaes="-mx0 -mem=AES256 -pinfected",
)
def zip_7z_more(at, o):
    return sh(at, f"7z a -tzip {o} out.zip payload.exe && mv out.zip out")


@case("pigz")
def zip_pigz(at):
    return sh(at, "pigz -cK payload.exe > out")


@case("pigz")
def zlib_pigz(at):
    return sh(at, "pigz -cz payload.exe > out")


@case("pigz")
def gz_zopfli(at):
    return sh(at, "pigz -11c payload.exe > out")


# ------- 7z


@case(
    "7z",
    arm64="-m0=ARM64 -m1=LZMA2",
    ppc="-m0=PPC -m1=LZMA",
    sparc="-m0=SPARC -m1=LZMA",
    ia64="-m0=IA64 -m1=LZMA",
    armt="-m0=ARMT -m1=LZMA",
    riscv="-m0=RISCV -m1=LZMA2",
    swap2="-m0=SWAP2 -m1=LZMA",
    swap4="-m0=SWAP4 -m1=LZMA2",
    d64="-m0=Deflate64",
    chain="-m0=BCJ -m1=Delta:4 -m2=LZMA2",
    aescopy="-m0=Copy -pinfected",
    aesppmd="-m0=PPMd -pinfected -mhe",
    lzmaopt="-m0=LZMA:lc=0:lp=4:pb=0:d=64k",
    lzma2mt="-m0=LZMA2:d=64k:c=64k",
    tr="-mtr=off -mtc=on -mta=on",
    mf="-mf=off",
)
def seven_more(at, o):
    return sh(at, f"cp /bin/true a.elf; 7z a -t7z {o} out.7z a.elf payload.exe && mv out.7z out")


@case("bsdtar", lzma1="lzma1", lzma2="lzma2", ppmd="ppmd", bzip2="bzip2", deflate="deflate", store="store")
def seven_bsdtar(at, o):
    return sh(at, f"bsdtar --format=7zip --options 7zip:compression={o} -cf out payload.exe")


@case("7z")
def seven_sfx_con(at):
    return sh(at, "7z a -sfx7zCon.sfx out.exe payload.exe && mv out.exe out")


@case("7z")
def seven_concat(at):
    x = sh(at, "echo hi>a; 7z a a.7z a >/dev/null; 7z a b.7z payload.exe>/dev/null; cat a.7z b.7z > out")
    return x


@case("7z")
def seven_junk_after(at):
    return sh(at, "7z a out.7z payload.exe; mv out.7z out") + noise(3000)


@case("7z")
def seven_bad_header_crc(at):
    a = bytearray(sh(at, "7z a -mhc=off out.7z payload.exe; mv out.7z out"))
    a[28:32] = b"abcd"
    return a


@case("7z")
def seven_bad_file_crc(at):
    d = payload(at)
    a = bytearray(sh(at, "7z a -mhc=off -m0=LZMA out.7z payload.exe; mv out.7z out"))
    c = struct.pack("<I", zlib.crc32(d))
    i = a.rfind(c)
    a[i : i + 4] = b"abcd"
    return a


@case("7z")
def seven_version(at):
    a = bytearray(sh(at, "7z a out.7z payload.exe; mv out.7z out"))
    a[6:8] = b"\x09\x09"
    return a


@case("7z")
def seven_offset_off(at):
    a = bytearray(sh(at, "7z a -mhc=off -m0=Copy out.7z payload.exe; mv out.7z out"))
    a[12:20] = struct.pack("<Q", 9)
    return a


@case("7z", tar="tar", wim="wim", xz="xz", gzip="gzip", bzip2="bzip2")
def by_7z(at, t):
    return sh(at, f"7z a -t{t} out.q payload.exe; mv out.q out")


# ------- tar


def th(name, size, flag=b"0", magic=b"ustar\x0000", szf=None, pre=b"", chk=True):
    h = bytearray(512)
    h[: len(name)] = name
    h[100:108] = b"0000644\0"
    h[108:116] = b"0000000\0"
    h[116:124] = b"0000000\0"
    h[124:136] = szf if szf is not None else b"%011o\0" % size
    h[136:148] = b"00000000000\0"
    h[156:157] = flag
    h[257 : 257 + len(magic)] = magic
    h[345 : 345 + len(pre)] = pre
    h[148:156] = b" " * 8
    h[148:156] = b"%06o\0 " % sum(h) if chk else b"        "
    return bytes(h)


def pad(d):
    return d + bytes(-len(d) % 512)


END = bytes(1024)


@case(
    base256=lambda n: b"\x80" + n.to_bytes(11, "big"),
    spaces=lambda n: b"%11o " % n,
    noterm=lambda n: b"%012o" % n,
    leftpad=lambda n: (b"%o" % n).ljust(12, b"\0"),
    lead_nul=lambda n: (b"\0" + b"%o" % n).ljust(12, b" "),
)
def tar_size(at, f):
    d = payload(at)
    return th(b"p.exe", len(d), szf=f(len(d))) + pad(d) + END


@case(
    contig=b"7",
    unknown=b"Z",
    oldreg=b"\0",
    dir=b"5",
    link=b"1",
    sym=b"2",
    chr=b"3",
    fifo=b"6",
    multi=b"M",
    dump=b"D",
    inode=b"I",
    noname=b"N",
    acl=b"A",
)
def tar_flag(at, f):
    d = payload(at)
    return th(b"p.exe", len(d), f) + pad(d) + END


@case()
def tar_pax_size(at):
    d = payload(at)
    rec = b" size=%d\n" % len(d)
    n = len(rec) + 2
    rec = b"%d" % n + rec
    return th(b"x", len(rec), b"x") + pad(rec) + th(b"p.exe", 0) + pad(d) + END


@case()
def tar_pax_size_lie(at):
    d = payload(at)
    rec = b"9 size=1\n"
    return th(b"x", len(rec), b"x") + pad(rec) + th(b"p.exe", len(d)) + pad(d) + END


@case()
def tar_pax_broken(at):
    d = payload(at)
    rec = b"99999 path=abc\nxx"
    return th(b"x", len(rec), b"x") + pad(rec) + th(b"p.exe", len(d)) + pad(d) + END


@case()
def tar_gnu_longname(at):
    d = payload(at)
    n = b"d/" * 200 + b"p.exe\0"
    return (
        th(b"././@LongLink", len(n), b"L", b"ustar  \0")
        + pad(n)
        + th(n[:99], len(d), b"0", b"ustar  \0")
        + pad(d)
        + END
    )


@case()
def tar_zero_blocks_middle(at):
    d = payload(at)
    return th(b"a", 2) + pad(b"hi") + END * 3 + th(b"p.exe", len(d)) + pad(d) + END


@case()
def tar_junk_middle(at):
    d = payload(at)
    return th(b"a", 2) + pad(b"hi") + noise(512) + th(b"p.exe", len(d)) + pad(d) + END


@case()
def tar_no_end(at):
    d = payload(at)
    return th(b"p.exe", len(d)) + d


@case(
    "tar",
    s00="--sparse-version=0.0 --format=pax",
    s01="--sparse-version=0.1 --format=pax",
    s10="--sparse-version=1.0 --format=pax",
    old="--format=gnu",
)
def tar_sparse_payload(at, o):
    if len(payload(at)) > 500000:
        return sh(at, "tar -cf out payload.exe")
    (at / "whole").write_bytes(payload(at))
    return sh(at, f"truncate -s 64K hole; tar -cS {o} -f out hole payload.exe")


@case("tar", label="-V label", incr="-g snap", multi="", posix_xattr="--format=posix --xattrs")
def tar_tool(at, o):
    if not o:
        return sh(
            at,
            "head -c 30000 /dev/urandom > a; printf 'n b.tar\\n' > in; tar -c -M -L 20 -f out.tar -F 'echo $TAR_ARCHIVE; exit 1' payload.exe a 2>/dev/null || true; mv out.tar out",
        )
    return sh(at, f"tar -c {o} -f out payload.exe")


@case("tar", gz="gzip", bz2="bzip2", xz="xz", zst="zstd -q", lz="lzip", lzma="lzma", lzo="lzop", Z="compress")
def tar_packed(at, p):
    return sh(
        at, f"cat payload.exe /usr/share/common-licenses/GPL-3 > q; tar -cf - payload.exe q | {p} -c > out"
    )


@case(
    "bsdtar",
    shar="shar",
    shardump="shardump",
    warc="warc",
    pax="pax",
    gnutar="gnutar",
    ustar="ustar",
    v7="v7tar",
    iso="iso9660",
    arbsd="arbsd",
    arsvr4="arsvr4",
    cpio="cpio",
    newc="newc",
    bin="bin",
    pwb="pwb",
)
def bsdtar(at, f):
    return sh(at, f"bsdtar --format={f} -cf out payload.exe")


@case(
    "bsdtar",
    lzma="--lzma",
    lz4="--lz4",
    zstd="--zstd",
    compress="-Z",
    lrzip="--lrzip",
    lzop="--lzop",
    grzip="--grzip",
)
def bsdtar_f(at, f):
    return sh(
        at, f"cp payload.exe q; cp /usr/share/common-licenses/GPL-3 . ; bsdtar {f} -cf out payload.exe GPL-3"
    )


@case("pax", bcpio="bcpio", cpio="cpio", sv4cpio="sv4cpio", sv4crc="sv4crc", tar="tar", ustar="ustar")
def pax(at, f):
    return sh(at, f"pax -w -x {f} -f out payload.exe")


@case("afio", plain="", z="-Z")
def afio(at, o):
    return sh(at, f"echo payload.exe | afio -o {o} out.a; mv out.a out")


# ------- cpio


def newc(name, d, magic=b"070701", up=False, namesize=None):
    f = "%08X" if up else "%08x"
    h = (
        magic
        + "".join(
            f % v for v in (1, 0o100644, 0, 0, 1, 0, len(d), 0, 0, 0, 0, namesize or len(name) + 1, 0)
        ).encode()
    )
    x = h + name + b"\0"
    x += bytes(-len(x) % 4)
    return x + d + bytes(-len(d) % 4)


@case()
def cpio_upper(at):
    return newc(b"p.exe", payload(at), up=True) + newc(b"TRAILER!!!", b"", up=True)


@case()
def cpio_after_trailer(at):
    return (
        newc(b"a", b"hi")
        + newc(b"TRAILER!!!", b"")
        + bytes(300)
        + newc(b"p.exe", payload(at))
        + newc(b"TRAILER!!!", b"")
    )


@case()
def cpio_no_trailer(at):
    return newc(b"a", b"hi") + newc(b"p.exe", payload(at))


@case()
def cpio_crc_wrong(at):
    return newc(b"p.exe", payload(at), magic=b"070702") + newc(b"TRAILER!!!", b"")


@case()
def cpio_gz_after(at):
    return (
        newc(b"a", b"hi")
        + newc(b"TRAILER!!!", b"")
        + bytes(100)
        + gzip.compress(newc(b"p.exe", payload(at)) + newc(b"TRAILER!!!", b""))
    )


@case("cpio")
def cpio_bin_swapped(at):
    a = sh(at, "echo payload.exe|cpio -o -H bin > out")
    d = payload(at)

    # big-endian headers
    def be(name, data):
        w = [0o070707, 0, 0, 0o100644, 0, 0, 1, 0, 0, 0, len(name) + 1, len(data) >> 16, len(data) & 0xFFFF]
        x = struct.pack(">13H", *w) + name + b"\0"
        x += bytes(len(x) % 2)
        return x + data + bytes(len(data) % 2)

    return be(b"p.exe", d) + be(b"TRAILER!!!", b"")


@case()
def cpio_junk_between(at):
    return newc(b"a", b"hi") + noise(16) + newc(b"p.exe", payload(at)) + newc(b"TRAILER!!!", b"")


# ------- ar/deb


def arm(name, d, size=None):
    x = (
        name.ljust(16)
        + b"0           0     0     100644  "
        + (b"%d" % (len(d) if size is None else size)).ljust(10)
        + b"`\n"
        + d
    )
    return x + b"\n" * (len(d) % 2)


@case()
def ar_bsd_long(at):
    n = b"a-very-long-name-for-this.exe"
    return b"!<arch>\n" + arm(b"#1/%d" % len(n), n + payload(at))


@case()
def ar_gnu_long(at):
    return b"!<arch>\n" + arm(b"//", b"a-very-long-name-for-this.exe/\n") + arm(b"/0", payload(at))


@case()
def ar_size_lie(at):
    return b"!<arch>\n" + arm(b"p.exe/", payload(at), 10**9)


@case()
def ar_bad_fmag(at):
    return b"!<arch>\n" + arm(b"p.exe/", payload(at)).replace(b"`\n", b"xx", 1)


def debof(dataname, data, ctl=True):
    c = gzip.compress(tar_of([("./control", b"Package: a\nVersion: 1\n")]))
    return b"!<arch>\n" + arm(b"debian-binary", b"2.0\n") + arm(b"control.tar.gz", c) + arm(dataname, data)


@case(
    bz2=(b"data.tar.bz2", bz2.compress),
    lzma=(b"data.tar.lzma", lambda d: lzma.compress(d, format=lzma.FORMAT_ALONE)),
    wrongname=(b"data.tar.gz", lzma.compress),
    plain=(b"data.tar", bytes),
)
def deb_data(at, h):
    return debof(h[0], h[1](tar_of([("./p.exe", payload(at))])))


@case()
def gem(at):
    return tar_of(
        [
            ("metadata.gz", gzip.compress(b"x: y")),
            ("data.tar.gz", gzip.compress(tar_of([("lib/p.exe", payload(at))]))),
        ]
    )


@case()
def alpine_apk(at):
    s = gzip.compress(tar_of([(".SIGN.RSA", b"sig")])[:1024])
    c = gzip.compress(tar_of([(".PKGINFO", b"a")])[:1024])
    return s + c + gzip.compress(tar_of([("usr/p.exe", payload(at))]))


@case()
def npm_tgz(at):
    return gzip.compress(tar_of([("package/package.json", b"{}"), ("package/p.exe", payload(at))]))


# ------- streams


def gzh(flags, extra=b""):
    return b"\x1f\x8b\x08" + bytes([flags]) + b"\0\0\0\0\0\3" + extra


def gzt(d):
    return struct.pack("<II", zlib.crc32(d), len(d) & 0xFFFFFFFF)


@case(
    text=(1, b""),
    hcrc=(2, b"\x12\x34"),
    extra=(4, b"\3\0abc"),
    name=(8, b"n\0"),
    comment=(16, b"c\0"),
    reserved=(0xE0, b""),
    all=(31, b"\3\0abcn\0c\0\0\0"),
    longname=(8, b"n" * 5000 + b"\0"),
)
def gz_flag(at, f):
    d = payload(at)
    return gzh(*f) + rawd(d) + gzt(d)


@case()
def gz_stored(at):
    d = payload(at)
    return gzh(0) + rawd(d, 0) + gzt(d)


@case()
def gz_fixed(at):
    d = payload(at)
    return gzh(0) + rawd(d, 9, 4) + gzt(d)


@case()
def gz_huff(at):
    d = payload(at)
    return gzh(0) + rawd(d, 9, 2) + gzt(d)


@case()
def gz_method(at):
    d = payload(at)
    x = bytearray(gzh(0))
    x[2] = 9
    return bytes(x) + rawd(d) + gzt(d)


@case()
def gz_zero_between(at):
    return gzip.compress(b"hello") + bytes(512) + gzip.compress(payload(at))


@case()
def gz_junk_between(at):
    return gzip.compress(b"hello") + b"JUNKJUNK!" + gzip.compress(payload(at))


@case()
def gz_bad_isize(at):
    d = payload(at)
    return gzh(0) + rawd(d) + struct.pack("<II", zlib.crc32(d), 7)


@case()
def gz_sync_flush_cut(at):
    c = zlib.compressobj(9, 8, -15)
    d = payload(at)
    return gzh(0) + c.compress(d) + c.flush(zlib.Z_SYNC_FLUSH)


@case()
def gz_bgzf(at):
    d = payload(at)
    r = rawd(d)
    n = len(r) + 26
    return gzh(4, b"\6\0BC\2\0" + struct.pack("<H", (n - 1) & 0xFFFF)) + r + gzt(d)


@case()
def gz_tar_gz_gz(at):
    return gzip.compress(gzip.compress(gzip.compress(tar_of([("p.exe", payload(at))]))))


@case()
def bz_blockcrc(at):
    a = bytearray(bz2.compress(payload(at)))
    a[10] ^= 0xFF
    return a


@case()
def bz_streamcrc(at):
    a = bytearray(bz2.compress(payload(at)))
    a[-3] ^= 0xFF
    return a


@case()
def bz_cut(at):
    return bz2.compress(payload(at))[:-6]


@case()
def bz_junk_between(at):
    return bz2.compress(b"hello") + b"junk" + bz2.compress(payload(at))


@case()
def bz_level1(at):
    return bz2.compress(payload(at), 1)


@case()
def bz_header_digit(at):
    a = bytearray(bz2.compress(payload(at)))
    a[3] = ord("0")
    return a


@case(none=lzma.CHECK_NONE, crc32=lzma.CHECK_CRC32, sha=lzma.CHECK_SHA256)
def xz_check(at, c):
    return lzma.compress(payload(at), check=c)


@case(
    arm=lzma.FILTER_ARM,
    armt=lzma.FILTER_ARMTHUMB,
    ppc=lzma.FILTER_POWERPC,
    ia64=lzma.FILTER_IA64,
    sparc=lzma.FILTER_SPARC,
    delta=lzma.FILTER_DELTA,
)
def xz_filter(at, f):
    return lzma.compress(
        payload(at),
        filters=[{"id": f} | ({"dist": 4} if f == lzma.FILTER_DELTA else {}), {"id": lzma.FILTER_LZMA2}],
    )


@case("xz")
def xz_blocks(at):
    return sh(at, "xz -c --block-size=200 payload.exe > out")


@case("xz")
def xz_block_sizes(at):
    return sh(at, "xz -T2 -c --block-size=4096 payload.exe > out")


@case()
def xz_bad_check(at):
    a = bytearray(lzma.compress(payload(at)))
    i = len(a) - 12 - 8 - 4
    a[i] ^= 0xFF
    return a


@case()
def xz_bad_index(at):
    a = bytearray(lzma.compress(payload(at)))
    a[-20:-12] = b"\xff" * 8
    return a


@case()
def xz_no_footer(at):
    return lzma.compress(payload(at))[:-28]


@case()
def xz_bad_flags_crc(at):
    a = bytearray(lzma.compress(payload(at)))
    a[8:12] = b"abcd"
    return a


@case()
def xz_junk(at):
    return lzma.compress(payload(at)) + b"junk" * 9


@case()
def lzma_known_size(at):
    d = payload(at)
    a = bytearray(lzma.compress(d, format=lzma.FORMAT_ALONE))
    a[5:13] = struct.pack("<Q", len(d))
    return a


@case()
def lzma_size_lie(at):
    d = payload(at)
    a = bytearray(lzma.compress(d, format=lzma.FORMAT_ALONE))
    a[5:13] = struct.pack("<Q", 1 << 40)
    return a


@case("lzma")
def lzma_tool(at):
    return sh(at, "lzma -c payload.exe > out")


@case(d64k=dict(dict_size=65536), lc0=dict(lc=0, lp=2, pb=0), big=dict(dict_size=1 << 26))
def lzma_props(at, p):
    return lzma.compress(payload(at), format=lzma.FORMAT_ALONE, filters=[{"id": lzma.FILTER_LZMA1} | p])


@case("plzip")
def lzip_plzip(at):
    return sh(at, "plzip -c -B 65536 payload.exe > out")


@case("lzip")
def lzip_two(at):
    return sh(at, "head -c 100 payload.exe>a; tail -c +101 payload.exe > b; (lzip -c a; lzip -c b) > out")


@case("lzip")
def lzip_bad_crc(at):
    a = bytearray(sh(at, "lzip -c payload.exe > out"))
    a[-20] ^= 255
    return a


@case("lzip")
def lzip_junk(at):
    return sh(at, "lzip -c payload.exe > out") + b"junk" * 9


@case(
    "lz4",
    two="cat <(lz4 -c a) <(lz4 -c b) > out",
    dict="lz4 -c --content-size payload.exe > out",
    nocrc="lz4 -c --no-frame-crc -BX payload.exe > out",
    hc="lz4 -12 -c payload.exe > out",
    legacy2="cat <(lz4 -lc a) <(lz4 -lc b) > out",
    mixed="cat <(lz4 -lc a) <(lz4 -c b) > out",
    fast="lz4 --fast=9 -c payload.exe > out",
)
def lz4_more(at, l):
    return sh(at, "head -c 100 payload.exe>a; tail -c +101 payload.exe > b; " + l)


@case("lz4")
def lz4_skippable(at):
    return struct.pack("<II", 0x184D2A51, 4) + b"abcd" + sh(at, "lz4 -c payload.exe > out")


@case("lz4")
def lz4_noend(at):
    return sh(at, "lz4 -c payload.exe > out")[:-8]


@case("lz4")
def lz4_bad_hc(at):
    a = bytearray(sh(at, "lz4 -c payload.exe > out"))
    a[6] ^= 255
    return a


@case(
    "zstd",
    two="cat <(zstd -c a) <(zstd -c b) > out",
    long="zstd --long=27 -c payload.exe > out",
    fast="zstd --fast=9 -c payload.exe > out",
    l1="zstd -1 -c payload.exe>out",
    l19="zstd -19 -c payload.exe > out",
    gzip="zstd --format=gzip -c payload.exe > out",
    xz="zstd --format=xz -c payload.exe>out",
    lzmaf="zstd --format=lzma -c payload.exe > out",
    lz4f="zstd --format=lz4 -c payload.exe > out",
    dict="zstd -q --train /usr/share/common-licenses/* -o d; zstd -D d -c payload.exe > out",
)
def zstd_more(at, l):
    return sh(at, "head -c 100 payload.exe>a; tail -c +101 payload.exe > b; " + l)


@case("zstd")
def zstd_badsum(at):
    a = bytearray(sh(at, "cat payload.exe | zstd -c > out"))
    a[-1] ^= 255
    return a


@case("zstd")
def zstd_skip_middle(at):
    return (
        sh(at, "echo hi | zstd -c > out")
        + struct.pack("<II", 0x184D2A5F, 3)
        + b"abc"
        + sh(at, "rm out; zstd -c payload.exe > out")
    )


@case("zstd")
def zstd_junk(at):
    return sh(at, "zstd -c payload.exe > out") + b"junkjunk"


@case("compress", b9="9", b12="12", b16="16")
def compress_b(at, b):
    return sh(at, f"compress -f -b {b} -c payload.exe > out || [ $? = 2 ]")


@case()
def lzfse_raw(at):
    d = payload(at)
    return b"bvx-" + struct.pack("<I", len(d)) + d + b"bvx$"


@case()
def snappy_framed(at):
    d = payload(at)
    out = b"\xff\6\0\0sNaPpY"
    for i in range(0, len(d), 65536):
        p = d[i : i + 65536]
        out += b"\1" + (len(p) + 4).to_bytes(3, "little") + struct.pack("<I", 0) + p
    return out


# ------- text encodings


@case()
def b64_alone(at):
    return base64.encodebytes(payload(at))


@case()
def b64_alone_oneline(at):
    return base64.b64encode(payload(at))


@case()
def b64_urlsafe(at):
    return base64.urlsafe_b64encode(payload(at))


@case()
def b64_nopad(at):
    return base64.b64encode(payload(at) + b"\0" * 0).rstrip(b"=") + b"\n"


@case()
def b64_utf16(at):
    return b"\xff\xfe" + base64.encodebytes(payload(at)).decode().encode("utf-16-le")


@case("uuencode")
def uuencode_in_text(at):
    return b"hello\nthis is it\n\n" + sh(at, "uuencode payload.exe p.exe > out") + b"\nbye\n"


@case("uuencode")
def uuencode_crlf(at):
    return sh(at, "uuencode payload.exe p.exe > out").replace(b"\n", b"\r\n")


@case("uuencode")
def uuencode_spaces(at):
    return sh(at, "uuencode payload.exe 'a b c.exe' > out").replace(b"`", b" ")


@case("uuencode")
def uuencode_trimmed(at):
    return b"\n".join(
        l.rstrip() for l in sh(at, "uuencode payload.exe p > out").replace(b"`", b" ").split(b"\n")
    )


@case("shar")
def shar(at):
    return sh(at, "shar -q payload.exe > out")


@case("shar", gz="-C gzip", bz="-C bzip2", xz="-C xz", uu="-B", text="-T")
def shar_o(at, o):
    return sh(at, f"shar -q {o} payload.exe > out 2>/dev/null")


@case(
    "makeself",
    gz="--gzip",
    bz="--bzip2",
    xz="--xz",
    none="--nocomp",
    b64="--base64",
    comp="--compress",
    pig="--pigz",
)
def makeself(at, o):
    return sh(
        at,
        f"mkdir d; cp payload.exe /usr/share/common-licenses/GPL-3 d; makeself -q {o} d out.run lbl true; mv out.run out",
    )


@case("pp")
def perl_par(at):
    return sh(at, "echo 'print 1' > a.pl; pp -a payload.exe -o out a.pl")


@case("pp")
def perl_par_p(at):
    return sh(at, "echo 'print 1' > a.pl; pp -p -a payload.exe -o out a.pl")


@case("openssl")
def pem(at):
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(payload(at)) + b"-----END CERTIFICATE-----\n"


@case(
    "gpg",
    z0="-z 0 --store",
    arm="--store -a",
    zip="--compress-algo zip -z 6 --store",
    zlib="--compress-algo zlib -z 6 --store",
    bz="--compress-algo bzip2 -z 6 --store",
)
def gpg(at, o):
    return sh(at, f"export GNUPGHOME=$PWD/g; mkdir -m700 g; gpg -q --batch {o} -o out payload.exe")


@case(plain="-p", cols="-p -c 16", dump="", u="-u -p", include="-i")
def xxd(at, o):
    return sh(at, f"xxd {o} payload.exe > out")


@case("od")
def od_dump(at):
    return sh(at, "od -A x -t x1z -v payload.exe > out")


@case("objcopy", ihex="ihex", srec="srec", tekhex="tekhex", verilog="verilog")
def objcopy_hex(at, f):
    return sh(at, f"objcopy -I binary -O {f} payload.exe out")


@case()
def base32(at):
    return base64.b32encode(payload(at))


@case()
def ascii85(at):
    return base64.a85encode(payload(at), adobe=True, wrapcol=72)


@case()
def percent(at):
    return ("data=" + "".join("%%%02x" % b for b in payload(at))).encode()


@case()
def shell_printf(at):
    return b"#!/bin/sh\nprintf '" + "".join("\\x%02x" % b for b in payload(at)).encode() + b"' > /tmp/p\n"


@case()
def c_array(at):
    return b"unsigned char a[] = {" + ", ".join("0x%02x" % b for b in payload(at)).encode() + b"};\n"


@case()
def reg_hex(at):
    t = ",".join("%02x" % b for b in payload(at))
    ls = [t[i : i + 75] for i in range(0, len(t), 75)]
    return (
        b'Windows Registry Editor Version 5.00\r\n\r\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\A]\r\n"b"=hex:'
        + "\\\r\n  ".join(ls).encode()
        + b"\r\n"
    )


@case()
def vbs_hex(at):
    return (
        b'Dim h\nh = "'
        + binascii.hexlify(payload(at))
        + b'"\nFor i = 1 To Len(h) Step 2\nb = b & Chr(CInt("&H" & Mid(h, i, 2)))\nNext\n'
    )


@case()
def ps_bytes(at):
    return (
        b"[Byte[]] $b = "
        + ",".join("0x%02X" % b for b in payload(at)).encode()
        + b"\n[IO.File]::WriteAllBytes('p.exe',$b)\n"
    )


@case()
def ps_bytes_dec(at):
    return (
        b"[Byte[]] $b = "
        + ",".join("%d" % b for b in payload(at)).encode()
        + b"\n[IO.File]::WriteAllBytes('p.exe',$b)\n"
    )


@case()
def ps_enc(at):
    inner = "$b=[Convert]::FromBase64String('" + base64.b64encode(payload(at)).decode() + "')"
    return b"powershell -nop -w hidden -enc " + base64.b64encode(inner.encode("utf-16-le")) + b"\n"


@case()
def ps_deflate(at):
    return (
        b"$d=New-Object IO.Compression.DeflateStream([IO.MemoryStream][Convert]::FromBase64String('"
        + base64.b64encode(rawd(payload(at)))
        + b"'),[IO.Compression.CompressionMode]::Decompress)\n"
    )


@case()
def bat_certutil(at):
    t = base64.b64encode(payload(at)).decode()
    ls = [t[i : i + 64] for i in range(0, len(t), 64)]
    return (
        "@echo off\r\n"
        + "".join(
            f"echo {l}>>%tmp%\\a.b64\r\n"
            for l in ["-----BEGIN CERTIFICATE-----"] + ls + ["-----END CERTIFICATE-----"]
        )
        + "certutil -decode a.b64 a.exe\r\n"
    ).encode()


@case()
def py_b64_zlib(at):
    return (
        b"import base64,zlib\nexec(zlib.decompress(base64.b64decode(b'"
        + base64.b64encode(zlib.compress(payload(at)))
        + b"')))\n"
    )


@case()
def py_escape(at):
    return b"d = " + repr(payload(at)).encode() + b"\n"


@case()
def py_hex(at):
    return b"d = bytes.fromhex('" + binascii.hexlify(payload(at)) + b"')\n"


@case()
def perl_pack(at):
    return b"#!/usr/bin/perl\nprint pack('H*','" + binascii.hexlify(payload(at)) + b"');\n"


@case()
def php_hex(at):
    return (
        b'<?php $a="'
        + "".join("\\x%02x" % b for b in payload(at)).encode()
        + b"\"; file_put_contents('p',$a); ?>"
    )


@case()
def php_gzuncompress(at):
    return (
        b"<?php eval(gzuncompress(base64_decode('" + base64.b64encode(zlib.compress(payload(at))) + b"')));"
    )


@case()
def php_strrev(at):
    return b"<?php eval(base64_decode(strrev('" + base64.b64encode(payload(at))[::-1] + b"')));"


@case()
def php_rot13(at):
    return (
        b"<?php eval(base64_decode(str_rot13('"
        + codecs.encode(base64.b64encode(payload(at)).decode(), "rot13").encode()
        + b"')));"
    )


@case()
def json_b64(at):
    return json.dumps(
        {
            "cells": [
                {"outputs": [{"data": {"application/octet-stream": base64.b64encode(payload(at)).decode()}}]}
            ]
        }
    ).encode()


@case()
def json_b64_n(at):
    return json.dumps(
        {"cells": [{"data": {"image/png": base64.encodebytes(payload(at)).decode()}}]}, indent=1
    ).encode()


@case()
def vcard(at):
    t = base64.b64encode(payload(at)).decode()
    ls = "\r\n ".join(t[i : i + 74] for i in range(0, len(t), 74))
    return f"BEGIN:VCARD\r\nVERSION:2.1\r\nFN:a\r\nPHOTO;ENCODING=BASE64;TYPE=JPEG:{ls}\r\n\r\nEND:VCARD\r\n".encode()


@case()
def ics(at):
    t = base64.b64encode(payload(at)).decode()
    ls = "\r\n ".join(t[i : i + 74] for i in range(0, len(t), 74))
    return f"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nATTACH;ENCODING=BASE64;VALUE=BINARY:{ls}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n".encode()


@case()
def ldif(at):
    t = base64.b64encode(payload(at)).decode()
    return (
        "dn: cn=a\njpegPhoto:: " + "\n ".join(t[i : i + 76] for i in range(0, len(t), 76)) + "\n"
    ).encode()


@case(xml=plistlib.FMT_XML, binary=plistlib.FMT_BINARY)
def plist(at, f):
    return plistlib.dumps({"a": payload(at), "b": 1}, fmt=f)


@case()
def yaml_binary(at):
    return b"a: !!binary |\n" + b"".join(b"  " + l + b"\n" for l in base64.encodebytes(payload(at)).split())


@case()
def sql_hex(at):
    return b"INSERT INTO t VALUES (1, X'" + binascii.hexlify(payload(at)) + b"');\n"


@case()
def sql_0x(at):
    return b"INSERT INTO `t` VALUES (1, 0x" + binascii.hexlify(payload(at)).upper() + b");\n"


@case()
def xml_cdata(at):
    return (
        b'<?xml version="1.0"?><a><f encoding="base64"><![CDATA['
        + base64.encodebytes(payload(at))
        + b"]]></f></a>"
    )


@case()
def flat_opc(at):
    return (
        b'<?xml version="1.0" standalone="yes"?><?mso-application progid="Word.Document"?><pkg:package xmlns:pkg="http://schemas.microsoft.com/office/2006/xmlPackage"><pkg:part pkg:name="/word/embeddings/o.bin" pkg:compression="store"><pkg:binaryData>'
        + base64.encodebytes(payload(at))
        + b"</pkg:binaryData></pkg:part></pkg:package>"
    )


@case()
def flat_odf(at):
    return (
        b'<?xml version="1.0"?><office:document xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" office:mimetype="application/vnd.oasis.opendocument.text"><draw:object-ole><office:binary-data>'
        + base64.encodebytes(payload(at))
        + b"</office:binary-data></draw:object-ole></office:document>"
    )


@case()
def fb2(at):
    return (
        b'<?xml version="1.0"?><FictionBook><binary id="a" content-type="image/jpeg">'
        + base64.encodebytes(payload(at))
        + b"</binary></FictionBook>"
    )


@case(pickle2=2, pickle4=4)
def pickled(at, p):
    return pickle.dumps({"a": payload(at)}, p)


# ------- db etc


@case()
def sqlite(at):
    c = sqlite3.connect(at / "x.db")
    c.execute("create table t(a blob)")
    c.execute("insert into t values(?)", (payload(at),))
    c.commit()
    c.close()
    return (at / "x.db").read_bytes()


@case("git", loose=0, pack=1, bundle=2)
def git(at, k):
    cmd = "export HOME=$PWD GIT_CONFIG_NOSYSTEM=1; git init -q r; cp payload.exe r/; cd r; git add .; git -c user.name=a -c user.email=a@a commit -q -m a; "
    if k == 0:
        return sh(at, cmd + "cp .git/objects/$(git rev-parse HEAD:payload.exe | sed 's@..@&/@') ../out")
    if k == 1:
        return sh(at, cmd + "git gc -q; cp .git/objects/pack/*.pack ../out")
    return sh(at, cmd + "git bundle create -q ../out HEAD")


# ------- disks


def D(at):
    return "mkdir d; cp payload.exe d/; "


@case(
    "mkfs.erofs",
    plain="",
    lz4="-zlz4",
    lz4hc="-zlz4hc",
    inline="-Einline_data",
    ext="-Eforce-inode-extended -zlz4",
    lzma="-zlzma",
    chunk="--chunksize=4096",
    c16="-zlz4 -C16384",
)
def erofs(at, o):
    return sh(at, D(at) + f"mkfs.erofs {o} out.img d >/dev/null")


@case(
    "mkfs.jffs2",
    zlib="",
    none="-X none -x zlib -x rtime",
    lzo="-X lzo -x zlib",
    be="-b",
    le="-l",
    rtime="-x zlib -x lzo",
    clean="-n",
)
def jffs2(at, o):
    return sh(at, D(at) + f"mkfs.jffs2 -r d {o} -o out")


@case("mkfs.ubifs", lzo="-x lzo", zlib="-x zlib", none="-x none", zstd="-x zstd")
def ubifs(at, o):
    return sh(at, D(at) + f"mkfs.ubifs -r d -m 2048 -e 126976 -c 100 {o} -o out")


@case("ubinize", "mkfs.ubifs")
def ubi(at):
    return sh(
        at,
        D(at)
        + "mkfs.ubifs -r d -m 2048 -e 126976 -c 100 -o u.img; printf '[a]\\nmode=ubi\\nimage=u.img\\nvol_id=0\\nvol_size=12MiB\\nvol_type=dynamic\\nvol_name=a\\n' > c.ini; ubinize -o out -m 2048 -p 131072 c.ini",
    )


@case("mkfs.btrfs", plain="", single="-d single -m single", mixed="-M", n4="-n 4096")
def btrfs(at, o):
    return sh(at, D(at) + f"truncate -s 128M out.img; mkfs.btrfs -q {o} --rootdir d out.img")


@case(
    "mke2fs",
    noext="-t ext4 -O ^extents",
    sum="-t ext4 -O metadata_csum,64bit",
    b1="-t ext4 -b 1024",
    b4="-t ext4 -b 4096",
    big="-t ext4 -O bigalloc -C 16384",
    ind="-t ext2 -b 1024",
    meta="-t ext4 -O meta_bg,^resize_inode",
    flex="-t ext4 -G 16",
    nosparse="-t ext2 -O ^sparse_super,^filetype",
    i128="-t ext3 -I 128",
)
def ext_more(at, o):
    return sh(at, D(at) + f"mke2fs -q {o} -d d out.img 8M")


@case("mke2fs")
def ext_htree(at):
    return sh(
        at,
        "mkdir d; for i in $(seq 1 400); do echo $i > d/file-with-a-rather-long-name-$i; done; cp payload.exe d/; mke2fs -q -t ext4 -b 1024 -d d out.img 8M; e2fsck -fyD out.img >/dev/null || true",
    )


@case("mke2fs")
def ext_deleted_name(at):
    return sh(
        at,
        D(at) + "mke2fs -q -t ext2 -d d out.img 4M; debugfs -w -R 'unlink payload.exe' out.img 2>/dev/null",
    )


@case("genext2fs")
def genext2fs(at):
    return sh(at, D(at) + "genext2fs -b 2048 -d d out.img")


@case("genisoimage", zisofs=1, deep=2, level4=3, eltorito=4, hybrid=5, multi=6, ucs=7, relaxed=8)
def iso_more(at, k):
    if k == 1:
        return sh(at, D(at) + "yes | head -c 40000 > d/big; mkzftree d e; genisoimage -quiet -z -R -o out e")
    if k == 2:
        return sh(
            at,
            "mkdir -p d/1/2/3/4/5/6/7/8/9/10/11; cp payload.exe d/1/2/3/4/5/6/7/8/9/10/11/; genisoimage -quiet -R -D -o out d",
        )
    if k == 3:
        return sh(at, D(at) + "genisoimage -quiet -iso-level 4 -o out d")
    if k == 4:
        fat_image(at)
        return sh(
            at,
            "mkdir d; mv out.img d/boot.img; genisoimage -quiet -b boot.img -c boot.cat -hide boot.img -hide-joliet boot.img -o out d",
        )
    if k == 5:
        return sh(at, D(at) + "genisoimage -quiet -hfs -udf -J -R -o out d")
    if k == 6:
        return sh(
            at,
            D(at)
            + "mkdir e; echo hi > e/x; genisoimage -quiet -R -o out e; xorriso -dev out -map d / -commit 2>/dev/null",
        )
    if k == 7:
        return sh(at, D(at) + "genisoimage -quiet -J -joliet-long -o out d")
    return sh(at, D(at) + "genisoimage -quiet -U -o out d")


@case(
    "genisoimage",
    novd="novd",
    badsize="badsize",
    bigendianonly="be",
    cut="cut",
    offset="off",
    mode2="m2",
    hidden="hid",
)
def iso_damage(at, k):
    extra = "-hide payload.exe " if k == "hid" else ""
    a = bytearray(sh(at, D(at) + f"genisoimage -quiet {extra}-o out d"))
    if k == "novd":
        a[16 * 2048 + 1 : 16 * 2048 + 6] = b"XXXXX"
    if k == "badsize":
        a[16 * 2048 + 80 : 16 * 2048 + 88] = bytes(8)
    if k == "be":
        a[16 * 2048 + 156 + 2 : 16 * 2048 + 156 + 6] = bytes(4)
    if k == "cut":
        a = a[: -150 * 2048] if len(a) > 400 * 2048 else a
    if k == "off":
        a = bytearray(512) + a
    if k == "m2":
        sync = b"\0" + b"\xff" * 10 + b"\0"
        s = [a[i : i + 2048] for i in range(0, len(a), 2048)]
        return b"".join(sync + b"\0\2\0\2" + bytes(8) + x.ljust(2048, b"\0") + bytes(280) for x in s)
    return a


@case(
    "xorriso",
    zf="-zisofs level=9 -set_filter_r --zisofs /",
    gz="-set_filter_r --gzip /",
    hfsplus="-boot_image any hfsplus=on",
    iso1999="-compliance iso_9660_level=3",
)
def xorriso_more(at, o):
    return sh(
        at, D(at) + f"yes hello | head -c 70000 > d/b; xorriso -outdev out -map d / {o} -commit 2>/dev/null"
    )


@case("xorriso")
def iso_hfsplus(at):
    return sh(at, D(at) + "xorriso -as mkisofs -hfsplus -quiet -o out d 2>/dev/null")


@case("mkfs.vfat", "mcopy", s="-s 1", s64="-s 64 -F 16", r="-S 4096 -F 32", f1="-f 1", h="-h 2048")
def fat_more(at, o):
    return sh(
        at,
        f"mkfs.vfat {o} -C out.img 65536 >/dev/null; mmd -i out.img ::a ::a/b; mcopy -i out.img payload.exe '::a/b/a long name, with dots. and spaces.exe'",
    )


@case("mkfs.vfat", "mcopy")
def fat_bad_sig(at):
    a = bytearray(fat_image(at))
    a[510:512] = bytes(2)
    return a


@case("mkfs.vfat", "mcopy")
def fat_first_fat_zeroed(at):
    a = bytearray(fat_image(at))
    a[512 : 512 + 9 * 512] = bytes(9 * 512)
    return a


@case("mkntfs", "ntfscp")
def ntfs_ads(at):
    return sh(
        at,
        "truncate -s 4M out.img; mkntfs -qQF out.img; echo hi>h; ntfscp -f out.img h p.txt; ntfscp -f -N hid out.img payload.exe p.txt",
    )


@case("mkntfs", "ntfscp", c512="-c 512", c4k="-c 4096", c64="-c 65536", i="-I", C="-C")
def ntfs_more(at, o):
    return sh(at, f"truncate -s 16M out.img; mkntfs -qQF {o} out.img; ntfscp -f out.img payload.exe p.exe")


@case(
    "mksquashfs",
    frag="-always-use-fragments",
    exp="-exports",
    b4k="-b 4096",
    b1m="-b 1048576",
    nox="-no-xattrs -no-exports",
    xzbcj="-comp xz -Xbcj x86",
    lz4hc="-comp lz4 -Xhc",
    nop="-nopad",
    sparse="-no-sparse",
    noI="-noI -noF",
)
def squashfs_more(at, o):
    return sh(at, D(at) + f"mksquashfs d out -quiet -no-progress {o}")


@case("mksquashfs")
def squashfs_badmagic_be(at):
    a = bytearray(sh(at, D(at) + "mksquashfs d out -quiet -no-progress"))
    a[4:8] = b"\xff\xff\xff\x7f"
    return a


@case("mksquashfs")
def snap_like(at):
    return sh(
        at,
        D(at)
        + "mkdir d/meta; echo 'name: a' > d/meta/snap.yaml; mksquashfs d out -quiet -no-progress -comp xz -no-fragments",
    )


@case("mksquashfs")
def appimage2(at):
    e = bytearray(Path("/bin/true").read_bytes())
    e[8:11] = b"AI\2"
    return (
        bytes(e) + bytes(-len(e) % 4096) + sh(at, D(at) + "mksquashfs d out -quiet -no-progress -comp zstd")
    )


@case("genisoimage")
def appimage1(at):
    a = bytearray(sh(at, D(at) + "genisoimage -quiet -R -o out d"))
    e = Path("/bin/true").read_bytes()[:64]
    a[:64] = e
    a[8:11] = b"AI\1"
    return a


@case("genromfs")
def romfs(at):
    return sh(at, D(at) + "genromfs -d d -f out")


@case(
    "qemu-img",
    qed="-O qed",
    parallels="-O parallels",
    zst="-c -O qcow2 -o compression_type=zstd",
    v2="-O qcow2 -o compat=0.10",
    l2="-O qcow2 -o extended_l2=on",
    ext="-O qcow2 -o data_file_raw=off",
    luks="",
    flat="-O vmdk -o subformat=monolithicFlat",
    two="-O vmdk -o subformat=twoGbMaxExtentSparse",
    hw6="-O vmdk -o compat6,hwversion=6",
    vhdxf="-O vhdx -o subformat=fixed",
    vhdxb="-O vhdx -o block_size=1M",
    vdis="-O vdi -o static=on",
    bs="-O qcow2 -o cluster_size=512",
)
def disk_more(at, o):
    fat_image(at)
    if not o:
        return sh(
            at,
            "qemu-img convert -f raw --object secret,id=s,data=infected -O luks -o key-secret=s out.img q; mv q out; rm out.img",
        )
    r = sh(at, f"mv out.img in.img; qemu-img convert -f raw {o} in.img out")
    for x in ("out-flat", "out-flat.vmdk", "out-s001.vmdk", "out-s001"):
        if (at / x).exists():
            return (at / x).read_bytes()
    return r


@case("img2simg")
def android_sparse(at):
    return sh(at, D(at) + "mke2fs -q -t ext4 -d d in.img 8M; img2simg in.img out; rm -f out.img")


@case("genisoimage")
def cso(at):
    a = sh(at, D(at) + "genisoimage -quiet -o out d")
    n = len(a) // 2048
    idx = []
    body = b""
    base = 24 + 4 * (n + 1)
    for i in range(n):
        idx.append(base + len(body))
        body += rawd(a[i * 2048 : i * 2048 + 2048])
    idx.append(base + len(body))
    return b"CISO" + struct.pack("<IQIBBH", 24, len(a), 2048, 1, 0, 0) + struct.pack(f"<{n+1}I", *idx) + body


@case("sfdisk", "mke2fs", mbr="dos", gpt="gpt")
def part_ext(at, l):
    i = sh(at, D(at) + "mke2fs -q -t ext4 -d d out.img 4M")
    dk = at / "out.img"
    dk.write_bytes(bytes(8 << 20))
    run(at, "sfdisk", "-q", dk, feed=f"label: {l}\nstart=2048,size=8192\n".encode())
    x = bytearray(dk.read_bytes())
    x[2048 * 512 : 2048 * 512 + len(i)] = i
    return x


@case("sgdisk", "mke2fs")
def gpt_backup_only(at):
    x = bytearray(part_ext(at, "gpt"))
    x[512:1024] = bytes(512)
    x[1024:2048] = bytes(1024)
    return x


@case("sfdisk", "mke2fs")
def gpt_no_pmbr(at):
    x = bytearray(part_ext(at, "gpt"))
    x[:512] = bytes(512)
    return x


# ------- containers


@case("zstd")
def oci_zstd(at):
    (at / "l").write_bytes(tar_of([("opt/p.exe", payload(at))]))
    l = sh(at, "zstd -q l -o out")
    g = sha256(l).hexdigest()
    return tar_of([("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), (f"blobs/sha256/{g}", l)])


@case()
def flatpak_like_sif(at):
    return (
        b"#!/usr/bin/env run-singularity\n\0SIF_MAGIC\0"
        + bytes(4000)
        + bytes(56)
        + (sh(at, D(at) + "mksquashfs d out -quiet -no-progress") if shutil.which("mksquashfs") else b"")
    )


def B(at):
    return part(b"base64", b64(payload(at)))


@case(
    special=b"=_a(b)/?:.,'+-x", spaces=b"a b c", dashes=b"--", long=b"x" * 70, toolong=b"x" * 300, digits=b"0"
)
def mail_bnd(at, b):
    return mixed(TEXT, B(at), boundary=b)


@case()
def mail_bnd_pct2231(at):
    return mixed(TEXT, B(at)).replace(b'boundary="XYZ"', b"boundary*=us-ascii''X%59Z")


@case()
def mail_bnd_cont_pct(at):
    return mixed(TEXT, B(at)).replace(b'boundary="XYZ"', b"boundary*0*=us-ascii''X%59;\r\n boundary*1=Z")


@case()
def mail_bnd_comment(at):
    return mixed(TEXT, B(at)).replace(b'boundary="XYZ"', b'(c) boundary (d) = (e) "XYZ" (f)')


@case()
def mail_bnd_escaped(at):
    return mixed(TEXT, B(at)).replace(b'boundary="XYZ"', b'boundary="X\\YZ"')


@case()
def mail_bnd_singlequote(at):
    return mixed(TEXT, B(at)).replace(b'boundary="XYZ"', b"boundary='XYZ'")


@case()
def mail_bnd_unclosed(at):
    return mixed(TEXT, B(at)).replace(b'boundary="XYZ"', b'boundary="XYZ')


@case()
def mail_bnd_nosemicolon(at):
    return mixed(TEXT, B(at)).replace(b"multipart/mixed; boundary", b"multipart/mixed boundary")


@case()
def mail_bnd_case(at):
    return mixed(TEXT, B(at)).replace(b"boundary=", b"BoUnDaRy=")


@case()
def mail_bnd_spaces_eq(at):
    return mixed(TEXT, B(at)).replace(b"boundary=", b"boundary = ")


@case()
def mail_bnd_wrong(at):
    return mixed(TEXT, B(at)).replace(b'boundary="XYZ"', b'boundary="OTHER"')


@case()
def mail_bnd_empty(at):
    return mixed(TEXT, B(at)).replace(b'boundary="XYZ"', b'boundary=""')


@case()
def mail_bnd_missing(at):
    return mixed(TEXT, B(at)).replace(b'; boundary="XYZ"', b"")


@case()
def mail_bnd_prefix(at):
    inner = b'Content-Type: multipart/mixed; boundary="XYZ1"\r\n\r\n--XYZ1\r\n' + B(at) + b"\r\n--XYZ1--\r\n"
    return mixed(TEXT, inner)


@case()
def mail_bnd_same_nested(at):
    inner = b'Content-Type: multipart/mixed; boundary="XYZ"\r\n\r\n--XYZ\r\n' + B(at) + b"\r\n--XYZ--\r\n"
    return mixed(TEXT, inner)


@case()
def mail_bnd_end_first(at):
    return mixed(TEXT).replace(b"--XYZ--", b"--XYZ--\r\n--XYZ\r\n" + B(at) + b"\r\n--XYZ--")


@case()
def mail_bnd_glued(at):
    return mixed(TEXT, B(at)).replace(b"hello\r\n\r\n--XYZ", b"hello--XYZ")


@case()
def mail_folded(at):
    return (
        mixed(TEXT, B(at))
        .replace(b"Content-Type: application", b"Content-Type:\r\n\t\r\n application")
        .replace(b"Encoding: base64", b"Encoding:\r\n base64")
    )


@case()
def mail_folded_type(at):
    return mixed(TEXT, B(at)).replace(b"multipart/mixed; boundary", b"multipart/\r\n mixed;\r\n\tboundary")


@case()
def mail_colon_space(at):
    return mixed(TEXT, B(at)).replace(b"Content-Transfer-Encoding:", b"Content-Transfer-Encoding :")


@case()
def mail_no_space(at):
    return mixed(TEXT, B(at)).replace(b": ", b":")


@case()
def mail_upper(at):
    return (
        mixed(TEXT, B(at))
        .replace(b"Content-Transfer-Encoding: base64", b"CONTENT-TRANSFER-ENCODING: BASE64")
        .replace(b"Content-Type", b"CONTENT-TYPE")
    )


@case()
def mail_no_mime_version(at):
    return mixed(TEXT, B(at)).replace(b"MIME-Version: 1.0\r\n", b"")


@case()
def mail_body_only(at):
    return mixed(TEXT, B(at)).split(b"preamble\r\n")[1]


@case()
def mail_cr_only(at):
    return mixed(TEXT, B(at)).replace(b"\r\n", b"\r")


@case()
def mail_crcrlf(at):
    return mixed(TEXT, B(at)).replace(b"\r\n", b"\r\r\n")


@case()
def mail_lf_headers(at):
    x = mixed(TEXT, B(at))
    return x[:300].replace(b"\r\n", b"\n") + x[300:]


@case()
def mail_bom(at):
    return b"\xef\xbb\xbf" + mixed(TEXT, B(at))


@case()
def mail_utf16(at):
    return b"\xff\xfe" + mixed(TEXT, B(at)).decode("latin1").encode("utf-16-le")


@case()
def mail_leading_space(at):
    return b" \r\n" + mixed(TEXT, B(at))


@case()
def mail_junk_header(at):
    return b"this is not a header\r\n" + mixed(TEXT, B(at))


@case()
def mail_nul_header(at):
    return mixed(TEXT, B(at)).replace(b"Content-Transfer", b"Con\0tent-Transfer")


@case()
def mail_nul_in_body(at):
    return mixed(TEXT, part(b"base64", b64(payload(at)).replace(b"A", b"A\0", 5)))


@case()
def mail_b64_pad_each(at):
    d = payload(at)
    return mixed(
        part(b"base64", b"".join(base64.b64encode(d[i : i + 40]) + b"\r\n" for i in range(0, len(d), 40)))
    )


@case()
def mail_b64_leading_blank(at):
    return mixed(part(b"base64", b"\r\n\r\n\r\n" + b64(payload(at))))


@case()
def mail_b64_blank_lines(at):
    return mixed(part(b"base64", b64(payload(at)).replace(b"\r\n", b"\r\n\r\n")))


@case()
def mail_b64_spaces(at):
    return mixed(part(b"base64", b64(payload(at)).replace(b"\r\n", b"   \r\n\t ")))


@case()
def mail_b64_urlsafe(at):
    return mixed(part(b"base64", base64.urlsafe_b64encode(payload(at))))


@case()
def mail_b64_nopad(at):
    return mixed(part(b"base64", base64.b64encode(payload(at)).rstrip(b"=")))


@case()
def mail_b64_trailer(at):
    return mixed(part(b"base64", b64(payload(at)) + b"\r\nThis is a footer of a list\r\n"))


@case()
def mail_b64_header_missing(at):
    return mixed(TEXT, B(at).replace(b"Content-Transfer-Encoding: base64\r\n", b""))


@case()
def mail_b64_text_plain(at):
    return mixed(part(b"base64", b64(payload(at)), kind=b"text/plain"))


@case()
def mail_b64_8bit(at):
    return mixed(part(b"8bit", b64(payload(at))))


@case()
def mail_enc_misspelt(at):
    return mixed(part(b"base-64", b64(payload(at))))


@case()
def mail_enc_quoted(at):
    return mixed(part(b'"base64"', b64(payload(at))))


@case()
def mail_enc_semicolon(at):
    return mixed(part(b"base64;", b64(payload(at))))


@case()
def mail_enc_dup_other(at):
    return mixed(part(b"base64\r\nContent-Transfer-Encoding: 7bit", b64(payload(at))))


@case()
def mail_enc_qp_is_b64(at):
    return mixed(part(b"quoted-printable", b64(payload(at))))


@case()
def mail_enc_on_multipart(at):
    inner = b"--IN\r\n" + B(at) + b"\r\n--IN--\r\n"
    return (
        HEAD
        + b'Content-Type: multipart/mixed; boundary="IN"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        + b64(inner)
    )


@case()
def mail_type_dup(at):
    return mixed(TEXT, B(at)).replace(
        b"MIME-Version: 1.0\r\n", b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n", 1
    )


@case()
def mail_type_dup2(at):
    return mixed(TEXT, B(at)).replace(b"\r\n\r\npreamble", b"\r\nContent-Type: text/plain\r\n\r\npreamble", 1)


@case()
def mail_type_bad(at):
    return mixed(TEXT, B(at)).replace(b"multipart/mixed", b"multipart")


@case()
def mail_type_misspelt(at):
    return mixed(TEXT, B(at)).replace(b"multipart/mixed", b"multpart/mixed")


@case()
def mail_type_text_multipart(at):
    return mixed(TEXT, B(at)).replace(b"multipart/mixed", b"text/plain")


@case()
def mail_preamble_part(at):
    return mixed(TEXT).replace(b"preamble\r\n", uu(payload(at)).replace(b"\n", b"\r\n"))


@case()
def mail_binary(at):
    return mixed(part(b"binary", payload(at)))


@case()
def mail_binary_8bit(at):
    return mixed(part(b"8bit", payload(at)))


@case()
def mail_none(at):
    return (
        HEAD
        + b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + b64(payload(at))
    )


@case()
def mail_no_type_b64(at):
    return HEAD + b"Content-Transfer-Encoding: base64\r\n\r\n" + b64(payload(at))


def qp(d, low=False, soft=70):
    f = "=%02x" if low else "=%02X"
    t = "".join(chr(b) if 33 <= b <= 126 and b != 61 else f % b for b in d)
    out = []
    i = 0
    while i < len(t):
        j = min(i + soft, len(t))
        while j < len(t) and ("=" in t[j - 2 : j]):
            j -= 1
        out.append(t[i:j])
        i = j
    return "=\r\n".join(out).encode() + b"\r\n"


@case()
def mail_qp_lower(at):
    return (
        mixed(part(b"quoted-printable", qp(payload(at), True) + b"")).replace(
            b"\r\n\r\n--XYZ--", b"\r\n--XYZ--"
        )
        if 0
        else mixed(part(b"quoted-printable", qp(payload(at), True)[:-2]))
    )


@case()
def mail_qp_soft_ws(at):
    return mixed(part(b"quoted-printable", qp(payload(at))[:-2].replace(b"=\r\n", b"= \t\r\n")))


@case()
def mail_qp_lf(at):
    return mixed(part(b"quoted-printable", qp(payload(at))[:-2].replace(b"\r\n", b"\n")))


@case()
def mail_qp_longlines(at):
    return mixed(part(b"quoted-printable", qp(payload(at), soft=10**9)[:-2]))


@case()
def mail_rfc822_12(at):
    m = mixed(TEXT, B(at), boundary=b"Q")
    for i in range(9):
        m = mixed(TEXT, b"Content-Type: message/rfc822\r\n\r\n" + m, boundary=b"R%d" % i)
    return m


@case()
def mail_forward_inline(at):
    return HEAD + b"\r\nsee below\r\n\r\n---------- Forwarded message ----------\r\n" + mixed(TEXT, B(at))


@case()
def mail_bounce(at):
    return mixed(
        TEXT,
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns;a\r\n",
        b"Content-Type: message/rfc822\r\n\r\n" + mixed(B(at), boundary=b"IN"),
        kind=b"report; report-type=delivery-status",
    )


@case()
def mail_bounce_text(at):
    return HEAD + b"Content-Type: text/plain\r\n\r\nYour mail failed.\r\n\r\n" + mixed(B(at), boundary=b"IN")


@case()
def mail_qmail(at):
    return (
        b"Hi. This is the qmail-send program at x.\r\n\r\n--- Below this line is a copy of the message.\r\n\r\nReceived: from a\r\n"
        + mixed(B(at))
    )


@case()
def mbox_gt_from(at):
    return b"From a@b Mon Jan  1 00:00:00 2024\n" + mixed(
        b"Content-Type: text/plain\n\n>From here on\n", B(at)
    ).replace(b"\r\n", b"\n")


@case()
def mbox_many(at):
    return (
        b"".join(b"From a@b Mon Jan  1 00:00:00 2024\nFrom: a\nSubject: %d\n\nhi\n\n" % i for i in range(300))
        + b"From a@b Mon Jan  1 00:00:00 2024\n"
        + mixed(B(at)).replace(b"\r\n", b"\n")
    )


@case()
def mail_eml_zip_eml(at):
    return mixed(TEXT, part(b"base64", b64(bytes(zip_of([("a.eml", mixed(TEXT, B(at)))]))), b"a.zip"))


@case()
def mail_partial_single(at):
    return HEAD + b'Content-Type: message/partial; number=1; total=1; id="a@b"\r\n\r\n' + mixed(B(at))


@case()
def mail_external_then(at):
    return mixed(b"Content-Type: message/external-body; access-type=url\r\n\r\n" + B(at))


@case()
def mail_uu_type(at):
    return mixed(part(b"x-uue", uu(payload(at)).replace(b"\n", b"\r\n")))


@case()
def mail_uu_noend(at):
    return HEAD + b"\r\n" + uu(payload(at)).replace(b"`\nend\n", b"")


@case()
def mail_uu_two(at):
    return HEAD + b"\r\n" + uu(b"hello world", b"a.txt") + b"\nand\n" + uu(payload(at))


@case()
def mail_uu_begin_mode(at):
    return HEAD + b"\r\n" + uu(payload(at)).replace(b"begin 644 ", b"begin 0100755  ")


@case()
def mail_uu_b64(at):
    return HEAD + b"\r\nbegin-base64 644 p.exe\r\n" + b64(payload(at)) + b"====\r\n"


@case()
def mail_yenc_part(at):
    d = payload(at)
    y = yenc(d).replace(b"=ybegin line", b"=ybegin part=1 total=1 line")
    i = y.find(b"\r\n") + 2
    return HEAD + b"\r\n" + y[:i] + b"=ypart begin=1 end=%d\r\n" % len(d) + y[i:]


def hqx(d):
    T = "!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"

    def crc(x):
        c = 0
        for b in x + b"\0\0":
            for i in range(8):
                f = c & 0x8000
                c = ((c << 1) | ((b >> (7 - i)) & 1)) & 0xFFFF
                if f:
                    c ^= 0x1021
        return struct.pack(">H", c)

    h = b"\5p.exe\0APPLdosa\0\0" + struct.pack(">II", len(d), 0)
    raw = h + crc(h) + d + crc(d) + crc(b"")
    raw = raw.replace(b"\x90", b"\x90\0")
    bits = "".join(f"{b:08b}" for b in raw)
    bits += "0" * (-len(bits) % 6)
    s = ":" + "".join(T[int(bits[i : i + 6], 2)] for i in range(0, len(bits), 6)) + ":"
    return (
        b"(This file must be converted with BinHex 4.0)\r\n\r\n"
        + b"\r\n".join(s[i : i + 64].encode() for i in range(0, len(s), 64))
        + b"\r\n"
    )


@case()
def binhex(at):
    return hqx(payload(at))


@case()
def mail_binhex(at):
    return mixed(TEXT, part(b"7bit", hqx(payload(at)), b"p.hqx", b"application/mac-binhex40"))


@case()
def mail_binhex_text(at):
    return HEAD + b"\r\nhello\r\n\r\n" + hqx(payload(at))


@case()
def mail_xbinhex(at):
    return mixed(part(b"x-binhex", hqx(payload(at))))


def apple(d, magic):
    return (
        struct.pack(">II16sH", magic, 0x20000, b"", 2)
        + struct.pack(">III", 9, 50, 32)
        + struct.pack(">III", 1, 82, len(d))
        + bytes(32)
        + d
    )


@case(single=0x51600, double=0x51607)
def applesingle(at, m):
    return apple(payload(at), m)


@case()
def mail_appledouble(at):
    return mixed(
        part(b"base64", b64(apple(b"r", 0x51607)), kind=b"application/applefile"), B(at), kind=b"appledouble"
    )


@case()
def macbinary(at):
    d = payload(at)
    h = bytearray(128)
    h[1] = 5
    h[2:7] = b"p.exe"
    h[65:73] = b"APPLdosa"
    h[83:87] = struct.pack(">I", len(d))
    h[122] = 129
    h[123] = 129
    c = 0
    for b in h[:124]:
        c ^= b << 8
        for _ in range(8):
            c = ((c << 1) ^ 0x1021 if c & 0x8000 else c << 1) & 0xFFFF
    h[124:126] = struct.pack(">H", c)
    return bytes(h) + d + bytes(-len(d) % 128)


@case()
def mail_html_data(at):
    return mixed(
        b'Content-Type: text/html\r\n\r\n<a href="data:application/octet-stream;base64,'
        + base64.b64encode(payload(at))
        + b'">x</a>\r\n'
    )


@case()
def mail_html_b64_data(at):
    return mixed(
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + b64(
            b"<html><iframe src='data:application/zip;base64,"
            + base64.b64encode(bytes(zip_of([("p.exe", payload(at))])))
            + b"'></iframe></html>"
        )
    )


@case()
def mail_ics(at):
    return mixed(
        b"Content-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR\r\nATTACH;ENCODING=BASE64;VALUE=BINARY:"
        + b64(payload(at), 74).replace(b"\r\n", b"\r\n ")
        + b"\r\nEND:VCALENDAR\r\n"
    )


@case()
def mail_name_encoded(at):
    return mixed(TEXT, part(b"base64", b64(payload(at)), b"=?utf-8?B?cC5leGU=?="))


@case()
def mail_related_start(at):
    return mixed(
        b"Content-Type: text/html\r\nContent-ID: <a>\r\n\r\n<img src=cid:b>\r\n",
        B(at) + b"",
        kind=b'related; start="<a>"',
    )


@case()
def mail_long_header(at):
    return b"X-A: " + b"y" * 20000 + b"\r\n" + mixed(TEXT, B(at))


@case()
def mail_many_headers(at):
    return b"".join(b"X-%d: y\r\n" % i for i in range(900)) + mixed(TEXT, B(at))


@case()
def mail_many_parts(at):
    return mixed(*([TEXT] * 300), B(at))


@case()
def mail_blank_in_headers(at):
    return mixed(TEXT, B(at)).replace(b"Subject: x\r\n", b"Subject: x\r\n \r\n", 1)


@case()
def mail_blank_line_in_headers(at):
    return mixed(TEXT, B(at)).replace(b"MIME-Version", b"\r\nMIME-Version", 1)


@case()
def mail_part_blank_first(at):
    return mixed(TEXT, b"\r\n" + B(at))


@case()
def mail_part_no_blank(at):
    return mixed(TEXT, B(at).replace(b"\r\n\r\n", b"\r\n", 1))


@case()
def mail_disposition_only(at):
    return mixed(
        TEXT,
        b"Content-Disposition: attachment; filename=p.exe\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + b64(payload(at)),
    )


@case()
def mail_gz_b64(at):
    return mixed(part(b"x-gzip64", b64(gzip.compress(payload(at)))))


@case()
def news(at):
    return (
        b"Path: a!b\r\nFrom: a@b\r\nNewsgroups: alt.test\r\nSubject: p.exe (1/1)\r\nMessage-ID: <a@b>\r\n\r\n"
        + uu(payload(at)).replace(b"\n", b"\r\n")
    )


@case()
def smtp_session(at):
    return b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<b@c>\r\nDATA\r\n" + mixed(TEXT, B(at)) + b".\r\n"


@case()
def emlx(at):
    m = mixed(TEXT, B(at)).replace(b"\r\n", b"\n")
    return b"%d\n" % len(m) + m + b'<?xml version="1.0"?><plist/>\n'


@case(plain=0, gz=1, chunked=2, br=3)
def http(at, k):
    d = payload(at)
    h = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
    if k == 0:
        return h + b"Content-Length: %d\r\n\r\n" % len(d) + d
    if k == 1:
        return h + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(d)
    if k == 2:
        return (
            h
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + b"".join(
                b"%x\r\n" % len(d[i : i + 100]) + d[i : i + 100] + b"\r\n" for i in range(0, len(d), 100)
            )
            + b"0\r\n\r\n"
        )
    return h + b"Content-Encoding: br\r\n\r\n" + sh(at, "brotli -c payload.exe > out")


@case("openssl", der="-outform DER", pem="-outform PEM", noattr="-noattr -outform DER")
def pkcs7(at, o):
    return sh(
        at,
        f"openssl req -x509 -newkey rsa:2048 -nodes -keyout k -out c -subj /CN=a 2>&1; openssl smime -sign -binary -nodetach -signer c -inkey k -in payload.exe {o} -out out",
    )


@case("openssl", compress=1, data=2, digest=3)
def cms_more(at, k):
    if k == 1:
        return sh(at, "openssl cms -compress -binary -in payload.exe -outform DER -out out")
    if k == 2:
        return sh(at, "openssl cms -data_create -binary -in payload.exe -outform DER -out out")
    return sh(at, "openssl cms -digest_create -binary -in payload.exe -outform DER -out out")


# ------- pdf

FL = b" /Filter /FlateDecode"


def P(at, **k):
    return embedded_pdf(FL, zlib.compress(payload(at)))


def lzw_var(data, early=1):
    codes = []
    tbl = {bytes([i]): i for i in range(256)}
    nxt = 258
    w = b""
    bits = 9
    acc = 0
    n = 0
    out = [(256, 9)]
    for b in data:
        c = w + bytes([b])
        if c in tbl:
            w = c
        else:
            out.append((tbl[w], bits))
            tbl[c] = nxt
            nxt += 1
            if nxt + early > (1 << bits) and bits < 12:
                bits += 1
            if nxt >= 4094:
                out.append((256, bits))
                tbl = {bytes([i]): i for i in range(256)}
                nxt = 258
                bits = 9
            w = bytes([b])
    if w:
        out.append((tbl[w], bits))
        nxt += 1
    if nxt + early > (1 << bits) and bits < 12:
        bits += 1
    out.append((257, bits))
    s = "".join(f"{c:0{n}b}" for c, n in out)
    s += "0" * (-len(s) % 8)
    return int(s, 2).to_bytes(len(s) // 8, "big")


def pngpred(d, cols, ft):
    d = d + bytes(-len(d) % cols)
    out = b""
    prev = bytes(cols)
    for i in range(0, len(d), cols):
        r = d[i : i + cols]
        t = ft if ft < 5 else (i // cols) % 5
        o = bytearray()
        for j, x in enumerate(r):
            a = r[j - 1] if j else 0
            b = prev[j]
            c = prev[j - 1] if j else 0
            if t == 0:
                p = 0
            elif t == 1:
                p = a
            elif t == 2:
                p = b
            elif t == 3:
                p = (a + b) // 2
            else:
                q = a + b - c
                pa, pb, pc = abs(q - a), abs(q - b), abs(q - c)
                p = a if pa <= pb and pa <= pc else b if pb <= pc else c
            o.append((x - p) & 255)
        out += bytes([t]) + bytes(o)
        prev = r
    return out


def cols(d):
    for c in (68, 64, 34, 32, 16, 8, 4, 2):
        if len(d) % c == 0:
            return c
    return 1


@case(
    lzw=(b" /Filter /LZWDecode", lambda d: lzw_var(d)),
    lzw_early0=(b" /Filter /LZWDecode /DecodeParms << /EarlyChange 0 >>", lambda d: lzw_var(d, 0)),
    abbrev=(b" /Filter /Fl", zlib.compress),
    a85fl=(b" /Filter [/ASCII85Decode /FlateDecode]", lambda d: base64.a85encode(zlib.compress(d)) + b"~>"),
    a85_noend=(b" /Filter /ASCII85Decode", base64.a85encode),
    a85_adobe=(b" /Filter /A85", lambda d: base64.a85encode(d, adobe=True, wrapcol=60)),
    hex_ws=(
        b" /Filter /AHx",
        lambda d: b"\n".join(binascii.hexlify(d)[i : i + 9] for i in range(0, 2 * len(d), 9)) + b" >",
    ),
    hex_upper_noend=(b" /Filter/ASCIIHexDecode", lambda d: binascii.hexlify(d).upper()),
    five=(
        b" /Filter [/AHx /A85 /Fl /AHx /RL]",
        lambda d: binascii.hexlify(
            base64.a85encode(zlib.compress(binascii.hexlify(run_length(d)) + b">")) + b"~>"
        )
        + b">",
    ),
    twice=(b" /Filter [/Fl /Fl]", lambda d: zlib.compress(zlib.compress(d))),
    six=(
        b" /Filter [/Fl /Fl /Fl /Fl /Fl /Fl /Fl /Fl /Fl /Fl]",
        lambda d: __import__("functools").reduce(lambda x, _: zlib.compress(x), range(10), d),
    ),
    crypt=(b" /Filter [/Crypt /Fl] /DecodeParms [<< /Name /Identity >> null]", zlib.compress),
    rawdeflate=(FL, lambda d: rawd(d)),
    badadler=(FL, lambda d: zlib.compress(d)[:-4] + b"abcd"),
    badhdr=(FL, lambda d: b"\x58\x85" + zlib.compress(d)[2:]),
    leadnl=(FL, lambda d: b"\r\n" + zlib.compress(d)),
    trail=(FL, lambda d: zlib.compress(d) + b"trailing"),
    dct=(b" /Filter /DCTDecode", bytes),
    unknown=(b" /Filter /FooDecode", bytes),
    unknown_then=(b" /Filter [/Fl /FooDecode]", zlib.compress),
    indirect_arr=(b" /Filter [ /Fl ] /DecodeParms [ null ]", zlib.compress),
    f_abbrev=(b" /F /Fl", zlib.compress),
    hexname=(b" /#46ilter /#46#6c#61teDecode", zlib.compress),
    comment=(b" /Filter %x\n /FlateDecode", zlib.compress),
    wrongfilter=(b" /Filter /LZWDecode", zlib.compress),
    none_but_packed=(b"", zlib.compress),
    mixed_rl=(
        b" /Filter [/RunLengthDecode /ASCIIHexDecode]",
        lambda d: run_length(binascii.hexlify(d) + b">"),
    ),
)
def pdf_f(at, h):
    return embedded_pdf(h[0], h[1](payload(at)))


@case(none=0, sub=1, up=2, avg=3, paeth=4, mix=5)
def pdf_png(at, t):
    d = payload(at)
    c = cols(d)
    return embedded_pdf(
        FL + b" /DecodeParms << /Predictor 15 /Columns %d >>" % c, zlib.compress(pngpred(d, c, t))
    )


@case()
def pdf_tiffpred(at):
    d = payload(at)
    c = cols(d)
    o = b""
    for i in range(0, len(d), c):
        r = d[i : i + c]
        o += bytes([(r[j] - (r[j - 1] if j else 0)) & 255 for j in range(len(r))])
    return embedded_pdf(FL + b" /DecodeParms << /Predictor 2 /Columns %d >>" % c, zlib.compress(o))


@case()
def pdf_len_indirect(at):
    p = P(at)
    return re.sub(rb"/Length \d+ >>\nstream", b"/Length 9 0 R >>\nstream", p)


@case()
def pdf_len_missing(at):
    return re.sub(rb" /Length \d+ >>\nstream", b" >>\nstream", P(at))


@case()
def pdf_len_neg(at):
    return re.sub(rb"/Length \d+ >>\nstream", b"/Length -5 >>\nstream", P(at))


@case()
def pdf_len_huge(at):
    return re.sub(rb"/Length \d+ >>\nstream", b"/Length 99999999999999999999 >>\nstream", P(at))


@case()
def pdf_stream_cr(at):
    return P(at).replace(b">>\nstream\n", b">>\rstream\r")


@case()
def pdf_stream_crlf(at):
    return P(at).replace(b">>\nstream\n", b">>\r\nstream\r\n")


@case()
def pdf_stream_glued(at):
    return P(at).replace(b">>\nstream\n", b">>stream\r\n")


@case()
def pdf_no_endstream(at):
    return P(at).replace(b"\nendstream", b"")


@case()
def pdf_no_endobj(at):
    return P(at).replace(b"\nendobj", b"")


@case()
def pdf_no_obj_numbers(at):
    return P(at).replace(b"5 0 obj", b"5  0   obj")


@case()
def pdf_obj_comment(at):
    return P(at).replace(b"5 0 obj\n", b"5 0 obj % 7 0 obj\n")


@case()
def pdf_version_odd(at):
    return P(at).replace(b"%PDF-1.5", b"%PDF-9.99")


@case()
def pdf_no_version(at):
    return P(at).replace(b"%PDF-1.5", b"%PDF-")


@case()
def pdf_header_1000(at):
    return b"\n" * 1000 + P(at)


@case()
def pdf_header_2000(at):
    return b"\n" * 2000 + P(at)


@case()
def pdf_mime_first(at):
    return b"Content-Type: application/pdf\r\n\r\n" + P(at)


@case()
def pdf_ps_wrap(at):
    return b"%!PS-Adobe-3.0 PDF-1.4\n" + P(at)


@case()
def pdf_mac_cr(at):
    return pdf_of(
        [
            b"<< /Type /Catalog >>",
            stream(b"/Type /EmbeddedFile /Filter /AHx", binascii.hexlify(payload(at)) + b">"),
        ]
    ).replace(b"\n", b"\r")


@case()
def pdf_truncated_after_stream(at):
    p = P(at)
    return p[: p.rfind(b"endstream")]


@case()
def pdf_xref_garbage(at):
    return P(at).replace(b"0000000", b"9999999")


@case()
def pdf_free_object(at):
    p = P(at)
    i = p.rfind(b" 00000 n")
    return p[:i] + b" 65535 f" + p[i + 8 :]


@case()
def pdf_two_eof_first_bad(at):
    return P(at) + b"\n%%EOF\n" * 5


@case()
def pdf_incremental(at):
    return (
        P(at)
        + b"6 0 obj\n<< >>\nendobj\nxref\n6 1\n0000000000 00000 n \ntrailer\n<< /Size 7 /Root 1 0 R /Prev 10 >>\nstartxref\n1\n%%EOF\n"
    )


@case(
    "qpdf",
    lin="--linearize",
    qdf="--qdf --stream-data=uncompress",
    objs="--object-streams=generate --recompress-flate",
    noc="--compress-streams=n",
    min="--min-version=2.0",
    newline="--newline-before-endstream",
    preserve="--preserve-unreferenced",
)
def pdf_qpdf(at, o):
    (at / "in.pdf").write_bytes(P(at))
    return sh(at, f"qpdf {o} in.pdf out || [ $? = 3 ]")


@case(
    "qpdf",
    user="infected owner 128 --use-aes=y",
    user256="infected owner 256",
    owneronly="'' infected 256",
    r5="'' o 256 --force-R5",
    r5u="infected o 256 --force-R5",
    v4="'' o 128 --force-V4",
    clear="'' o 128 --use-aes=y --cleartext-metadata",
    u40="infected o 40",
    u128="infected o 128 --use-aes=n",
    ownerinf="unknownpw infected 256",
)
def pdf_enc(at, o):
    (at / "in.pdf").write_bytes(P(at))
    return sh(at, f"qpdf --allow-weak-crypto --encrypt {o} -- in.pdf out")


BLANK = pdf_of(
    [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>",
    ]
)


@case("pdfattach")
def pdf_pdfattach(at):
    (at / "in.pdf").write_bytes(BLANK)
    return sh(at, "pdfattach in.pdf payload.exe out")


@case("qpdf")
def pdf_qpdf_attach(at):
    (at / "in.pdf").write_bytes(BLANK)
    return sh(at, "qpdf --add-attachment payload.exe -- in.pdf out")


@case("qpdf", "mutool")
def pdf_mutool(at):
    (at / "in.pdf").write_bytes(P(at))
    return sh(at, "mutool clean -z in.pdf out.pdf; mv out.pdf out")


@case(
    "mutool",
    a="-a",
    ggg="-gggg -z",
    d="-d",
    l="-l",
    s="-s",
    enc="-E aes-256 -U infected -O x",
    rc4="-E rc4-128 -U '' -O x",
)
def pdf_mutool_o(at, o):
    (at / "in.pdf").write_bytes(P(at))
    return sh(at, f"mutool clean {o} in.pdf out.pdf; mv out.pdf out")


@case()
def pdf_js_hex_string(at):
    return pdf_of(
        [
            b"<< /Type /Catalog /OpenAction << /S /JavaScript /JS <"
            + binascii.hexlify(
                b"var a=unescape('" + "".join("%%%02x" % b for b in payload(at)).encode() + b"');"
            )
            + b"> >> >>"
        ]
    )


@case()
def pdf_xfa(at):
    return pdf_of(
        [
            b"<< /Type /Catalog /AcroForm << /XFA 2 0 R >> >>",
            stream(
                FL,
                zlib.compress(
                    b"<xdp:xdp xmlns:xdp='http://ns.adobe.com/xdp/'><image contentType='image/jpeg'>"
                    + base64.encodebytes(payload(at))
                    + b"</image></xdp:xdp>"
                ),
            ),
        ]
    )


@case()
def pdf_in_pdf(at):
    return embedded_pdf(FL, zlib.compress(P(at)))


@case()
def pdf_zip_in(at):
    return embedded_pdf(FL, zlib.compress(bytes(zip_of([("p.exe", payload(at))]))))


@case()
def pdf_tail_zip(at):
    return BLANK + bytes(zip_of([("p.exe", payload(at))]))


@case()
def pdf_tail_raw(at):
    return BLANK + payload(at)


@case()
def pdf_image(at):
    d = payload(at)
    return pdf_of(
        [
            b"<< /Type /Catalog >>",
            stream(
                b"/Type /XObject /Subtype /Image /Width 1 /Height 1 /BitsPerComponent 8 /ColorSpace /DeviceGray"
                + FL,
                zlib.compress(d),
            ),
        ]
    )


@case()
def pdf_font(at):
    return pdf_of([b"<< /Type /Catalog >>", stream(b"/Length1 10" + FL, zlib.compress(payload(at)))])


@case()
def ps_ascii85(at):
    return (
        b"%!PS-Adobe-3.0\ncurrentfile /ASCII85Decode filter /FlateDecode filter cvx exec\n"
        + base64.a85encode(zlib.compress(payload(at)), wrapcol=72)
        + b"~>\n%%EOF\n"
    )


@case()
def ps_hex(at):
    return b"%!PS-Adobe-3.0\ncurrentfile /ASCIIHexDecode filter\n" + binascii.hexlify(payload(at)) + b">\n"


@case()
def eps_dos(at):
    ps = b"%!PS-Adobe-3.0 EPSF-3.0\nshowpage\n"
    return (
        b"\xc5\xd0\xd3\xc6"
        + struct.pack("<IIIIIIH", 30, len(ps), 0, 0, 30 + len(ps), len(payload(at)), 0xFFFF)
        + ps
        + payload(at)
    )


# ------- OLE


def native(d):
    n = (
        struct.pack("<H", 2)
        + b"p.exe\0c:\\p.exe\0"
        + struct.pack("<HH", 0, 3)
        + struct.pack("<I", 9)
        + b"c:\\p.exe\0"
        + struct.pack("<I", len(d))
        + d
        + b"\0\0"
    )
    return struct.pack("<I", len(n)) + n


def gsf(at, files):
    for n, d in files:
        f = at / "w" / n
        f.parent.mkdir(parents=True, exist_ok=True)
        f.write_bytes(d)
    names = " ".join("'" + n + "'" for n in sorted({n.split("/")[0] for n, _ in files}))
    return sh(at, f"cd w; gsf createole ../out {names}")


@case("gsf")
def ole_native(at):
    return gsf(at, [("\1Ole10Native", native(payload(at))), ("WordDocument", bytes(600))])


@case("gsf")
def ole_objectpool(at):
    return gsf(at, [("WordDocument", bytes(600)), ("ObjectPool/_123/\1Ole10Native", native(payload(at)))])


@case("gsf")
def ole_package_stream(at):
    return gsf(at, [("Package", bytes(zip_of([("p.exe", payload(at))])))])


@case("gsf")
def ole_contents(at):
    return gsf(at, [("CONTENTS", payload(at)), ("\1CompObj", bytes(100))])


@case("gsf")
def msg_attachment(at):
    return gsf(
        at,
        [
            ("__properties_version1.0", bytes(64)),
            ("__attach_version1.0_#00000000/__substg1.0_37010102", payload(at)),
            ("__attach_version1.0_#00000000/__substg1.0_3707001F", "p.exe".encode("utf-16-le")),
        ],
    )


@case("gsf")
def msg_nested(at):
    return gsf(
        at,
        [
            ("__properties_version1.0", bytes(64)),
            (
                "__attach_version1.0_#00000000/__substg1.0_3701000D/__attach_version1.0_#00000000/__substg1.0_37010102",
                payload(at),
            ),
        ],
    )


@case("gsf")
def msg_rtf(at):
    d = rtf_object(at)
    return gsf(
        at,
        [
            ("__properties_version1.0", bytes(64)),
            ("__substg1.0_10090102", struct.pack("<IIII", len(d) + 12, len(d), 0x414C454D, 0) + d),
        ],
    )


@case("gsf", c=1, p=0)
def hwp5(at, c):
    fh = b"HWP Document File".ljust(32, b"\0") + struct.pack("<II", 0x05000000, c) + bytes(216)
    return gsf(at, [("FileHeader", fh), ("BinData/BIN0001.bin", rawd(payload(at)) if c else payload(at))])


@case("gsf")
def ppt_ole(at):
    d = payload(at)
    z = zlib.compress(d)
    rec = struct.pack("<HHI", 0x10, 0x1011, len(z) + 4) + struct.pack("<I", len(d)) + z
    return gsf(at, [("PowerPoint Document", rec), ("Current User", bytes(40))])


@case("gsf")
def ppt_ole_plain(at):
    d = payload(at)
    rec = struct.pack("<HHI", 0, 0x1011, len(d)) + d
    return gsf(at, [("PowerPoint Document", rec), ("Current User", bytes(40))])


@case("gsf")
def mso_data(at):
    z = zlib.compress(payload(at))
    return b"ActiveMime\0\0\1\xf0\4\0\0\0\xff\xff\xff\xff\0\0\4\xf0".ljust(0x32, b"\0") + z


@case("gsf")
def docx_ole(at):
    return zip_of(
        [
            ("[Content_Types].xml", b"<Types/>"),
            ("word/document.xml", b"<w/>"),
            ("word/embeddings/oleObject1.bin", gsf(at, [("\1Ole10Native", native(payload(at)))])),
        ]
    )


@case("gsf")
def ole_bad_fat(at):
    a = bytearray(
        gsf(
            at,
            [
                ("stream", payload(at) * 1 if len(payload(at)) > 5000 else payload(at) + bytes(0)),
                ("x", bytes(5000)),
            ],
        )
    )
    a[0x4C + 4 : 0x4C + 40] = b"\xfe\xff\xff\x7f" * 9
    return a


@case("gsf")
def ole_hdr_junk(at):
    a = bytearray(gsf(at, [("stream", payload(at))]))
    a[0x18:0x20] = b"\xff" * 8
    return a


def ole1(d):
    return binascii.hexlify(
        struct.pack("<II", 0x501, 2)
        + struct.pack("<I", 8)
        + b"Package\0"
        + struct.pack("<II", 0, 0)
        + native(d)
    )


@case(
    upper=lambda h: h.upper(),
    spaces=lambda h: b" ".join(h[i : i + 3] for i in range(0, len(h), 3)),
    crlf=lambda h: b"\r\n".join(h[i : i + 128] for i in range(0, len(h), 128)),
    groups=lambda h: h[:40] + b"{\\*\\foo bar}" + h[40:],
    ctrl=lambda h: h[:41] + b"\\par " + h[41:],
    quote=lambda h: h[:40] + b"\\'41" + h[40:],
    bin=lambda h: b"\\bin%d " % (len(h) // 2) + binascii.unhexlify(h),
    nest=lambda h: b"{{{{" + h + b"}}}}",
    nul=lambda h: h.replace(b"0", b"0\0", 50),
    tab=lambda h: h.replace(b"00", b"0\t0"),
    bin0=lambda h: h[:60] + b"\\bin0 " + h[60:],
    odd=lambda h: b"0" + h[:0] + h[0:0] + h[1:],
)
def rtf_ev(at, f):
    return b"{\\rtf1\\ansi{\\object\\objemb\\objupdate{\\*\\objdata " + f(ole1(payload(at))) + b"}}}"


@case()
def rtf_noclose(at):
    return b"{\\rtf1{\\object\\objemb{\\*\\objdata " + ole1(payload(at))


@case()
def rtf_prefix(at):
    return b"{\\rtxa{\\object\\objemb{\\*\\objdata " + ole1(payload(at)) + b"}}}"


@case()
def rtf_ws_before(at):
    return b"\n\n {\\rtf1{\\object\\objemb{\\*\\objdata " + ole1(payload(at)) + b"}}}"


@case()
def rtf_pict(at):
    return b"{\\rtf1{\\pict\\wmetafile8 " + binascii.hexlify(payload(at)) + b"}}"


@case()
def rtf_pictbin(at):
    return b"{\\rtf1{\\pict\\pngblip\\bin%d " % len(payload(at)) + payload(at) + b"}}"


@case("gsf")
def rtf_ole2(at):
    o = gsf(at, [("\1Ole10Native", native(payload(at)))])
    return (
        b"{\\rtf1{\\object\\objemb{\\*\\objdata "
        + binascii.hexlify(
            struct.pack("<III", 0x501, 2, 8) + b"Package\0" + struct.pack("<III", 0, 0, len(o)) + o
        )
        + b"}}}"
    )


@case()
def rtf_datastore(at):
    return b"{\\rtf1{\\*\\datastore " + binascii.hexlify(payload(at)) + b"}}"


@case()
def rtf_tail(at):
    return b"{\\rtf1 hello}" + payload(at)


# ------- html


def DU(at):
    return base64.b64encode(payload(at))


@case(
    iframe=b'<iframe src="data:application/octet-stream;base64,%s"></iframe>',
    img=b"<img src='data:image/png;base64,%s'>",
    obj=b"<object data=data:application/x;base64,%s></object>",
    css=b"<style>a{background:url(data:image/png;base64,%s)}</style>",
    embed=b'<embed src="DATA:application/octet-stream;charset=utf-8;BASE64,%s">',
    nomime=b'<a href="data:;base64,%s">',
    entity=b'<a href="data:application/x;base64&#44;%s">',
    jsvar=b"<script>var d='data:application/zip;base64,%s';location=d</script>",
    comment=b"<!-- data:application/zip;base64,%s -->",
    srcdoc=b"<iframe srcdoc=\"<a href='data:application/x;base64,%s'>\"></iframe>",
    meta=b'<meta http-equiv=refresh content="0;url=data:application/x;base64,%s">',
    textarea=b"<textarea id=x>%s</textarea>",
    div=b"<div style=display:none>%s</div>",
    script=b"<script type=text/plain id=x>%s</script>",
    attr=b'<div data-x="%s"></div>',
    fetch=b"<script>fetch('data:application/octet-stream;base64,%s').then(r=>r.blob())</script>",
    xml=b"<xml id=a><b>%s</b></xml>",
    hta=b'<hta:application><script language=vbscript>s="%s"</script>',
)
def html_du(at, t):
    return b"<html><body>" + t % DU(at) + b"</body></html>"


@case()
def html_du_pct(at):
    return (
        b'<html><a href="data:application/octet-stream,'
        + "".join("%%%02x" % b for b in payload(at)).encode()
        + b'">x</a></html>'
    )


@case()
def html_du_pctb64(at):
    return b'<html><a href="data:application/octet-stream;base64,' + urlq(DU(at)) + b'">x</a></html>'


def urlq(b):
    return urllib.parse.quote(b, safe="").encode()


@case()
def html_js_concat(at):
    t = DU(at).decode()
    return (
        "<html><script>var s="
        + "+".join(f"'{t[i:i+60]}'" for i in range(0, len(t), 60))
        + ";var b=atob(s);</script></html>"
    ).encode()


@case()
def html_js_append(at):
    t = DU(at).decode()
    return (
        "<html><script>var s='';\n"
        + "".join(f"s+='{t[i:i+60]}';\n" for i in range(0, len(t), 60))
        + "var b=atob(s);</script></html>"
    ).encode()


@case()
def html_js_join(at):
    t = DU(at).decode()
    return (
        "<html><script>var s=["
        + ",".join(f'"{t[i:i+60]}"' for i in range(0, len(t), 60))
        + "].join('');var b=atob(s);</script></html>"
    ).encode()


@case()
def html_js_hex(at):
    return (
        b"<html><script>var h='"
        + binascii.hexlify(payload(at))
        + b"';for(i=0;i<h.length;i+=2)b.push(parseInt(h.substr(i,2),16));</script></html>"
    )


@case()
def html_js_unescape(at):
    return (
        b"<html><script>var s=unescape('"
        + "".join("%%%02X" % b for b in payload(at)).encode()
        + b"');</script></html>"
    )


@case()
def html_js_charcode(at):
    return (
        b"<html><script>var s=String.fromCharCode("
        + ",".join(str(b) for b in payload(at)).encode()
        + b");</script></html>"
    )


@case()
def html_js_escape(at):
    return (
        b"<html><script>var s='"
        + "".join("\\x%02x" % b for b in payload(at)).encode()
        + b"';</script></html>"
    )


@case()
def html_js_u(at):
    return (
        b"<html><script>var s='"
        + "".join("\\u00%02x" % b for b in payload(at)).encode()
        + b"';</script></html>"
    )


@case()
def html_js_hexarr(at):
    return (
        b"<html><script>var s=[" + ",".join("0x%x" % b for b in payload(at)).encode() + b"];</script></html>"
    )


@case()
def html_js_reverse(at):
    return b"<html><script>var s=atob('" + DU(at)[::-1] + b"'.split('').reverse().join(''));</script></html>"


@case()
def html_utf16le(at):
    return b"\xff\xfe" + html_smuggling(at).decode().encode("utf-16-le")


@case()
def html_utf16be(at):
    return b"\xfe\xff" + html_smuggling(at).decode().encode("utf-16-be")


@case()
def html_utf7(at):
    return b"<html><head><meta charset=utf-7></head>" + html_smuggling(at).decode().encode("utf-7")


@case()
def html_utf8bom(at):
    return b"\xef\xbb\xbf" + html_smuggling(at)


@case()
def html_utf16le_nobom(at):
    return html_smuggling(at).decode().encode("utf-16-le")


@case()
def html_zip_js(at):
    return (
        b"<html><script>var b=atob('"
        + base64.b64encode(bytes(zip_of([("p.exe", payload(at))])))
        + b"')</script></html>"
    )


@case()
def html_vbs_hexarr(at):
    return (
        b'<html><script language="vbscript">WriteData = "'
        + binascii.hexlify(payload(at)).upper()
        + b'"\nSet f=CreateObject("Scripting.FileSystemObject")</script></html>'
    )


@case()
def svg_script(at):
    return (
        b'<svg xmlns="http://www.w3.org/2000/svg"><script><![CDATA[var b=atob("'
        + DU(at)
        + b'");]]></script></svg>'
    )


@case()
def svg_foreign(at):
    return (
        b'<svg xmlns="http://www.w3.org/2000/svg"><foreignObject><iframe src="data:text/html;base64,'
        + base64.b64encode(html_smuggling(at))
        + b'"/></foreignObject></svg>'
    )


@case()
def svgz(at):
    return gzip.compress(svg_smuggling(at))


@case()
def xsl(at):
    return (
        b'<?xml version="1.0"?><xsl:stylesheet xmlns:msxsl="urn:schemas-microsoft-com:xslt"><msxsl:script>var s="'
        + DU(at)
        + b'";</msxsl:script></xsl:stylesheet>'
    )


@case()
def js_file(at):
    return b"var b = WScript.CreateObject('x'); var d = '" + DU(at) + b"'; run(d);\n"


@case()
def vbs_file(at):
    return b'Dim a\r\na = "' + DU(at) + b'"\r\nExecute Decode(a)\r\n'


@case()
def wsf(at):
    return b'<job id="a"><script language="JScript"><![CDATA[var d="' + DU(at) + b'";]]></script></job>'


@case()
def sct(at):
    return (
        b'<?XML version="1.0"?><scriptlet><registration><script language="JScript"><![CDATA[var d="'
        + DU(at)
        + b'";]]></script></registration></scriptlet>'
    )


# ------- programs


@case("objcopy")
def elf_section_zip(at):
    (at / "z").write_bytes(bytes(zip_of([("p", payload(at))])))
    return sh(at, "objcopy --add-section .x=z /bin/true out")


@case("objcopy", zlib="zlib", zstd="zstd", gnu="zlib-gnu")
def elf_compressed(at, c):
    return sh(
        at,
        f"cat payload.exe /usr/share/common-licenses/GPL-3 > q; objcopy --add-section .debug_x=payload.exe --add-section .debug_info=q --compress-debug-sections={c} /bin/true out",
    )


@case()
def elf_overlay_raw(at):
    return Path("/bin/true").read_bytes() + payload(at)


@case()
def elf_overlay_gz(at):
    return Path("/bin/true").read_bytes() + gzip.compress(payload(at))


@case()
def elf_overlay_xz(at):
    return Path("/bin/true").read_bytes() + lzma.compress(payload(at))


@case()
def elf_overlay_tar(at):
    return Path("/bin/true").read_bytes() + tar_of([("p", payload(at))])


@case()
def elf_overlay_zstd(at):
    return Path("/bin/true").read_bytes() + sh(at, "zstd -qc payload.exe > out")


@case("7z")
def elf_overlay_7z(at):
    return Path("/bin/true").read_bytes() + sh(at, "7z a out.7z payload.exe >/dev/null; mv out.7z out")


@case()
def macho_fat(at):
    d = payload(at)
    return (
        struct.pack(">II", 0xCAFEBABE, 2)
        + struct.pack(">IIIII", 7, 3, 4096, len(d), 12)
        + struct.pack(">IIIII", 0x1000007, 3, 8192 + len(d) // 4096 * 4096, len(d), 12)
        + bytes(4096 - 48)
        + d
    )


@case()
def macho_fat64(at):
    d = payload(at)
    return (
        struct.pack(">II", 0xCAFEBABF, 1)
        + struct.pack(">IIQQII", 7, 3, 4096, len(d), 12, 0)
        + bytes(4096 - 40)
        + d
    )


@case()
def wasm_custom(at):
    def leb(n):
        o = b""
        while 1:
            b = n & 127
            n >>= 7
            o += bytes([b | (128 if n else 0)])
            if not n:
                return o

    s = b"\4data" + payload(at)
    return b"\0asm\1\0\0\0\0" + leb(len(s)) + s


def pe(sections, overlay=b""):
    n = len(sections)
    h = bytearray(0x400)
    h[0:2] = b"MZ"
    h[0x3C] = 0x40
    h[0x40:0x44] = b"PE\0\0"
    h[0x44:0x58] = struct.pack("<HHIIIHH", 0x14C, n, 0, 0, 0, 224, 0x102)
    opt = bytearray(224)
    opt[0:2] = b"\x0b\1"
    struct.pack_into("<I", opt, 16, 0x1000)
    struct.pack_into("<III", opt, 28, 0x400000, 0x1000, 0x200)
    struct.pack_into("<HH", opt, 40, 4, 0)
    struct.pack_into("<HH", opt, 48, 4, 0)
    struct.pack_into("<II", opt, 56, 0x1000 * (n + 3) + 0x100000, 0x400)
    struct.pack_into("<H", opt, 68, 3)
    struct.pack_into("<I", opt, 92, 16)
    body = b""
    raw = 0x400
    va = 0x1000
    tbl = b""
    for name, d, ch in sections:
        p = d + bytes(-len(d) % 512)
        if name == b".rsrc":
            struct.pack_into("<II", opt, 96 + 16, va, len(d))
        tbl += name.ljust(8, b"\0") + struct.pack("<IIIIIIHHI", len(d), va, len(p), raw, 0, 0, 0, 0, ch)
        body += p
        raw += len(p)
        va += (len(p) + 0xFFF) & ~0xFFF
    h[0x58 : 0x58 + 224] = opt
    h[0x58 + 224 : 0x58 + 224 + len(tbl)] = tbl
    return bytes(h) + body + overlay


def rsrc(d, va):
    # type 10 / id 1 / lang 1033
    def dirr(i, off, sub):
        return bytes(12) + struct.pack("<HHII", 0, 1, i, off | (0x80000000 if sub else 0))

    return (
        dirr(10, 24, 1) + dirr(1, 48, 1) + dirr(1033, 72, 0) + struct.pack("<IIII", va + 88, len(d), 0, 0) + d
    )


CODE = (b".text", b"\xc3" + bytes(511), 0x60000020)


@case()
def pe_resource(at):
    return pe([CODE, (b".rsrc", rsrc(payload(at), 0x2000), 0x40000040)])


@case()
def pe_resource_zip(at):
    return pe([CODE, (b".rsrc", rsrc(bytes(zip_of([("p", payload(at))])), 0x2000), 0x40000040)])


@case()
def pe_resource_gz(at):
    return pe([CODE, (b".rsrc", rsrc(gzip.compress(payload(at)), 0x2000), 0x40000040)])


@case()
def pe_overlay(at):
    return pe([CODE], payload(at))


@case()
def pe_overlay_zip(at):
    return pe([CODE], bytes(zip_of([("p", payload(at))])))


@case()
def pe_overlay_gz(at):
    return pe([CODE], gzip.compress(payload(at)))


@case()
def pe_overlay_xz(at):
    return pe([CODE], lzma.compress(payload(at)))


@case("gcab")
def pe_overlay_cab(at):
    return pe([CODE], sh(at, "gcab -z -c out.cab payload.exe; mv out.cab out"))


@case()
def pe_overlay_tar(at):
    return pe([CODE], tar_of([("p", payload(at))]))


@case()
def mz_dos_stub(at):
    return b"MZ" + bytes(62) + payload(at)


# ------- carriers


def png(chunks, tail=b""):
    def ch(k, d):
        return struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d))

    return (
        b"\x89PNG\r\n\x1a\n"
        + ch(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
        + b"".join(ch(*c) for c in chunks)
        + ch(b"IDAT", zlib.compress(b"\0\0"))
        + ch(b"IEND", b"")
        + tail
    )


@case()
def png_tail(at):
    return png([], payload(at))


@case()
def png_ztxt(at):
    return png([(b"zTXt", b"k\0\0" + zlib.compress(payload(at)))])


@case()
def png_chunk(at):
    return png([(b"prVt", payload(at))])


@case()
def png_itxt(at):
    return png([(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(payload(at)))])


@case()
def png_iccp(at):
    return png([(b"iCCP", b"k\0\0" + zlib.compress(payload(at)))])


JPG = b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"


@case()
def jpeg_tail(at):
    return JPG + b"\xff\xd9" + payload(at)


@case()
def jpeg_tail_zip(at):
    return JPG + b"\xff\xd9" + bytes(zip_of([("p", payload(at))]))


@case("7z")
def jpeg_tail_7z(at):
    return JPG + b"\xff\xd9" + sh(at, "7z a out.7z payload.exe>/dev/null; mv out.7z out")


@case()
def gif_tail(at):
    return b"GIF89a\1\0\1\0\0\0\0;" + payload(at)


@case()
def gif_comment(at):
    d = payload(at)
    return (
        b"GIF89a\1\0\1\0\0\0\0!\xfe"
        + b"".join(bytes([len(d[i : i + 255])]) + d[i : i + 255] for i in range(0, len(d), 255))
        + b"\0;"
    )


@case()
def bmp_tail(at):
    return (
        b"BM"
        + struct.pack("<IIIIIIHHIIIIII", 58, 0, 54, 40, 1, 1, 1, 24, 0, 4, 0, 0, 0, 0)
        + bytes(4)
        + payload(at)
    )


@case()
def wav(at):
    d = payload(at)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + len(d))
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
        + b"data"
        + struct.pack("<I", len(d))
        + d
    )


@case()
def mp3_tail_zip(at):
    return b"ID3\3\0\0\0\0\0\0" + b"\xff\xfb\x90\0" * 99 + bytes(zip_of([("p", payload(at))]))


@case()
def mkv_attach(at):
    return (
        b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff\x19\x41\xa4\x69\xff\x61\xa7\xff\x46\x5c"
        + b"\x10"
        + len(payload(at)).to_bytes(3, "big")
        + payload(at)
    )


@case()
def ttf_tail(at):
    return b"\0\1\0\0" + bytes(200) + payload(at)


@case()
def java_ser(at):
    d = payload(at)
    return b"\xac\xed\0\5ur\0\2[B\xac\xf3\x17\xf8\6\x08T\xe0\2\0\0xp" + struct.pack(">I", len(d)) + d


@case()
def lnk_tail(at):
    return b"L\0\0\0\1\x14\2\0\0\0\0\0\xc0\0\0\0\0\0\0F" + bytes(56) + bytes(4) + payload(at)


@case()
def lnk_zip(at):
    return (
        b"L\0\0\0\1\x14\2\0\0\0\0\0\xc0\0\0\0\0\0\0F"
        + bytes(56)
        + bytes(4)
        + bytes(zip_of([("p", payload(at))]))
    )


@case()
def swf_zws(at):
    body = (
        b"\x78\0\5\x5f\0\0\x0f\xa0\0\0\x0c\1\0"
        + struct.pack("<HI", 87 << 6 | 63, len(payload(at)) + 6)
        + b"\1\0"
        + bytes(4)
        + payload(at)
        + b"\0\0"
    )
    l = lzma.compress(body, format=lzma.FORMAT_ALONE)
    return b"ZWS\x0d" + struct.pack("<II", len(body) + 8, len(l) - 13) + l[:5] + l[13:]


@case()
def sylk(at):
    return b'ID;P\nC;X1;Y1;K"' + DU(at) + b'"\nE\n'


@case()
def epub(at):
    return zip_of([("mimetype", b"application/epub+zip"), ("OEBPS/p.exe", payload(at))])


@case()
def xpi(at):
    return zip_of([("manifest.json", b"{}"), ("p.exe", payload(at))])


@case()
def tnef_badsum(at):
    a = bytearray(tnef_of(payload(at)))
    a[-2:] = b"\1\1"
    return a


@case()
def tnef_junk(at):
    return tnef_of(payload(at)) + noise(99)


@case()
def onenote_guid(at):
    blob = bytes.fromhex("e716e3bd65261145a4c48d4d0b7a9eac") + struct.pack("<QIQ", len(payload(at)), 0, 0)
    return (
        bytes.fromhex("e4525c7b8cd8a74daeb15378d02996d3").ljust(2000, b"\0")
        + blob
        + payload(at)
        + bytes(8)
        + bytes.fromhex("22a7fb71790f0b4abb13899256426b24")
    )


@case("arj", sfx="-je", r="-r", g="-ginfected", v="-jt")
def arj_more(at, o):
    return sh(
        at, f"arj a -y {o} out.arj payload.exe >/dev/null; mv out.arj out 2>/dev/null || mv out.exe out"
    )


@case("arj")
def arj_junk(at):
    return noise(300) + sh(at, "arj a -y out.arj payload.exe>/dev/null; mv out.arj out")


@case("arj")
def arj_badcrc(at):
    a = bytearray(sh(at, "arj a -y -m0 out.arj payload.exe>/dev/null; mv out.arj out"))
    i = a.find(b"payload.exe")
    a[i + 13 : i + 17] = b"abcd"
    return a


@case("gcab", two="")
def cab_more(at, o):
    return sh(at, "echo hi > a; gcab -z -c out.cab a payload.exe; mv out.cab out")


@case("gcab")
def cab_concat(at):
    return sh(at, "echo hi > a; gcab -c a.cab a; gcab -z -c b.cab payload.exe; cat a.cab b.cab > out")


@case("gcab")
def cab_sizelie(at):
    a = bytearray(sh(at, "gcab -z -c out.cab payload.exe; mv out.cab out"))
    a[8:12] = struct.pack("<I", 40)
    return a


@case("gcab")
def cab_filesize(at):
    a = bytearray(sh(at, "gcab -z -c out.cab payload.exe; mv out.cab out"))
    o = struct.unpack_from("<I", a, 16)[0]
    a[o : o + 4] = struct.pack("<I", 1 << 30)
    return a


@case("gcab")
def cab_folderidx(at):
    a = bytearray(sh(at, "gcab -z -c out.cab payload.exe; mv out.cab out"))
    o = struct.unpack_from("<I", a, 16)[0]
    a[o + 8 : o + 10] = b"\xfe\xff"
    return a


@case("jlha", l0="0", l1="1", l2="2")
def lha_level(at, l):
    return sh(at, f"jlha aqo5 out.lzh payload.exe >/dev/null; mv out.lzh out")


@case("lha")
def lha_tool(at):
    return sh(at, "lha c out.lzh payload.exe; mv out.lzh out")


@case(
    "wimcapture",
    solid="--solid",
    esd="--compress=LZMS",
    chunk="--compress=LZX --chunk-size=32K",
    pipable="--pipable",
)
def wim_more(at, o):
    return sh(
        at,
        f"mkdir d; cp payload.exe /usr/share/common-licenses/GPL-3 d/; wimcapture d out.wim {o} >/dev/null; mv out.wim out",
    )


@case("makensis", bz="/SOLID bzip2", final="/FINAL lzma", none="")
def nsis_more(at, h):
    (at / "a.nsi").write_text(
        (f"SetCompressor {h}\n" if h else "SetCompress off\n")
        + "Name a\nOutFile out\nSection\nSetOutPath $TEMP\nFile payload.exe\nWriteUninstaller u.exe\nSectionEnd\nSection Uninstall\nSectionEnd\n"
    )
    return sh(at, "makensis -V1 a.nsi")


@case("rpmbuild", lzma="w7.lzdio", none="w0.ufdio", xzt="w6T2.xzdio")
def rpm_more(at, how):
    return rpm(at, how)


@case("rpmbuild")
def srpm(at):
    (at / "a.spec").write_text(
        "Name: a\nVersion: 1\nRelease: 1\nSummary: a\nLicense: MIT\nSource0: payload.exe\n%description\na\n%files\n"
    )
    run(at, "rpmbuild", "-bs", "--define", f"_topdir {at}/r", "--define", f"_sourcedir {at}", "a.spec")
    return next((at / "r/SRPMS").rglob("*.rpm")).read_bytes()


@case()
def asar_nested(at):
    d = payload(at)
    h = json.dumps(
        {
            "files": {
                "a": {"files": {"b.exe": {"size": len(d), "offset": "3"}}},
                "c": {"size": 3, "offset": "0"},
            }
        }
    ).encode()
    p = h + bytes(-len(h) % 4)
    return struct.pack("<IIII", 4, len(p) + 8, len(p) + 4, len(h)) + p + b"abc" + d


@case()
def mht_qp(at):
    return mixed(
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        + qp(b'<html><img src="data:image/png;base64,' + DU(at) + b'"></html>'),
        kind=b"related",
    )


@case()
def ole_msi_like_cab(at):
    return sh(
        at,
        "gcab -z -c c.cab payload.exe; mkdir w; cp c.cab w/Media.cab; cd w; gsf createole ../out Media.cab",
    )


LEFT_OUT = {
    "zip-pigz",
    "zlib-pigz",
    "gz-zopfli",
    "makeself-pig",
    "ext-more-noext",
    "ext-more-nosparse",
    "xorriso-more-zf",
    "xorriso-more-gz",
    "xorriso-more-hfsplus",
    "fat-more-s",
    "fat-more-s64",
    "fat-more-r",
    "bsdtar-f-grzip",
    "bsdtar-f-lrzip",
    "bsdtar-shar",
    "cms-more-compress",
    "disk-more-ext",
    "disk-more-hw6",
    "disk-more-luks",
    "elf-compressed-gnu",
    "elf-compressed-zlib",
    "elf-compressed-zstd",
    "erofs-lzma",
    "ext-more-big",
    "gpg-symmetric",
    "gz-leading-newline",
    "html-js-unescape-u",
    "http-br",
    "iso-damage-hidden",
    "iso-damage-novd",
    "jffs2-none",
    "objcopy-hex-tekhex",
    "pdf-f-wrongfilter",
    "pe-overlay-xor",
    "pickled-pickle2",
    "pickled-pickle4",
    "plist-binary",
    "shar-o-gz",
    "shar-o-text",
    "tar-size-lead-nul",
    "tar-size-too-big",
    "wim-more-esd",
    "wim-more-pipable",
    "wim-more-solid",
    "zip-7z-more-zstd",
    "zstd-more-dict",
}
CASES[:] = [entry for entry in CASES if entry[0] not in LEFT_OUT]
