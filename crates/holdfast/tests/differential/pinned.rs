//! What the comparison at random found, each as one small case: the names that `clamscan` tells, and we.

use std::collections::BTreeSet;

use crate::scanners::{self, Scanner};

/// One object, what it is scanned with, and the names that are told.
struct Case {
    what: &'static str,
    object: &'static [u8],
    databases: &'static [(&'static str, &'static str)],
    names: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        what: "the pieces of a normalised text are in the place of the text",
        object: b"Some plain text that is long enough to be one\n",
        databases: &[(
            "a.ldb",
            "Any;Engine:51-255,Target:0,Intermediates:CL_TYPE_ANY;0;706c61696e\n",
        )],
        names: &[],
    },
    Case {
        what: "a text normalised as a whole is one level below the text",
        object: b"Some plain text that is long enough to be one\n",
        databases: &[(
            "a.ldb",
            "Any;Engine:51-255,Target:0,Intermediates:CL_TYPE_ANY;0;706c61696e\n\
             End;Engine:51-255,Target:7;0;EOF-5:7a7a7a7a\n",
        )],
        names: &["Any"],
    },
    Case {
        what: "a trusted copy of a text does not make its end trusted",
        object: b"Some plain text that is long enough to be one\n",
        databases: &[
            (
                "a.ldb",
                "None;Engine:51-255,Target:7;0<1;7a7a7a7a\n\
                 One;Engine:51-255,Target:7;0;706c61696e\n\
                 End;Engine:51-255,Target:7;0;EOF-5:7a7a7a7a\n",
            ),
            ("a.fp", "c5e85503d1be2108254ee047b7fcb6fc:46:Text\n"),
        ],
        names: &["None"],
    },
    Case {
        what: "the end of a text normalised as a whole is told the size of the text, and the copy its own",
        object: b"Some plain text that is long enough to be one  \n",
        databases: &[(
            "a.ldb",
            "Own;Engine:51-255,Target:7,FileSize:46-46;0=0;7a7a7a7a\n\
             Text;Engine:51-255,Target:7,FileSize:48-48;0=0;7a7a7a7a\n\
             In;Engine:51-255,Target:7,FileSize:48-48;0;706c61696e\n\
             End;Engine:51-255,Target:7;0;EOF-5:7a7a7a7a\n",
        )],
        names: &["Own", "Text"],
    },
    Case {
        what: "the pieces of a normalised text are told the size of the text",
        object: b"Some plain text that is long enough to be one  \n",
        databases: &[(
            "a.ldb",
            "Own;Engine:51-255,Target:7,FileSize:46-46;0=0;7a7a7a7a\n\
             Text;Engine:51-255,Target:7,FileSize:48-48;0=0;7a7a7a7a\n\
             In;Engine:51-255,Target:7,FileSize:48-48;0;706c61696e\n",
        )],
        names: &["In", "Text"],
    },
    Case {
        what: "what has a type to us alone is other data to signatures",
        object: b"\x04\x22\x4d\x18\0\x01 some bytes behind a head of LZ4",
        databases: &[("a.ndb", "Other:14:*:736f6d65206279746573\n")],
        names: &["Other"],
    },
    Case {
        what: "one that holds without a match adds nothing to a count, and does not end it",
        object: b"\0\x01\x02\x03 some bytes",
        databases: &[(
            "a.ldb",
            "More;Engine:51-255,Target:0;(0=0|1)>0;7a7a7a7a;736f6d65\n\
             None;Engine:51-255,Target:0;(0=0|1)=0;7a7a7a7a;736f6d65\n",
        )],
        names: &["More"],
    },
    Case {
        what: "parts of pages with their pictures have no place, as those of mails",
        object: b"\xca\xfe\xba\xbe\0\0\x004MIME-Version: 1.0\nFrom: a@example.org\n\
                  Content-Type: multipart/mixed; boundary=\"edge\"\n\n--edge\nContent-Type: text/plain\n\n\
                  Some plain text that is long enough\n--edge--\n",
        databases: &[("a.cdb", "Any:*:*:*:*:*:0:*:*:*\nFirst:*:*:*:*:*:0:1-2:*:*\n")],
        names: &["Any"],
    },
    Case {
        what: "parts of mails have their decoded size alone",
        object: b"From: a@example.org\nMIME-Version: 1.0\nContent-Type: application/octet-stream; name=a.bin\n\
                  Content-Transfer-Encoding: base64\n\nc29tZSB0ZXh0IGFuZCBtb3JlIG9mIGl0IGluIG9uZSBsaW5l\n",
        databases: &[("a.cdb", "Packed:*:*:*:36-36:*:*:*:*:*\nEncoded:*:*:*:40-60:*:*:*:*:*\n")],
        names: &["Packed"],
    },
    Case {
        what: "a CRC of 0 is that of any member",
        object: b"PK\x03\x04\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x00\xba\xbd\xbaO\x09\x00\x00\x00\
                  \x09\x00\x00\x00\x05\x00\x00\x00a.txtsome textPK\x01\x02\x0a\x00\x0a\x00\x00\x00\
                  \x00\x00\x00\x00\x00\x00\xba\xbd\xbaO\x09\x00\x00\x00\x09\x00\x00\x00\x05\x00\
                  \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00a.txtPK\x05\x06\
                  \x00\x00\x00\x00\x01\x00\x01\x003\x00\x00\x00,\x00\x00\x00\x00\x00",
        databases: &[(
            "a.zmd",
            "None:0:txt:*:*:00000000:*:*:*\n\
             Own:0:txt:*:*:4fbabdba:*:*:*\n\
             Other:0:txt:*:*:00000001:*:*:*\n",
        )],
        names: &["None", "Own"],
    },
    Case {
        what: "a mail behind the magic of a class makes it a mail",
        object: b"\xca\xfe\xba\xbe\0\0\x004From x\nFrom: a@example.org\nMIME-Version: 1.0\n\n\
                  Some plain text that is long enough\n",
        databases: &[("a.ndb", "Mail:4:*:46726f6d\nClass:12:*:46726f6d\n")],
        names: &["Mail"],
    },
    Case {
        what: "bytes are compared before expressions are looked for",
        object: b"\x01\x02QQQQabc5\x07zzabcABCD1234",
        databases: &[(
            "a.ldb",
            "Pcre;Engine:81-255,Target:0;0&1&2;616263;0/c5/;1(>>2#ib1#=7)\n\
             Body;Engine:81-255,Target:0;0&1;616263;0(>>3#ib1#=65)\n\
             Parts;Engine:81-255,Target:0;0;5151*3132\n",
        )],
        names: &["Body", "Parts"],
    },
    Case {
        what: "the message that is made of a data: URL takes the place of its page",
        object: b"<html><body><img src=\"data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7\">a</body></html>",
        databases: &[(
            "a.ldb",
            "Page;Engine:51-255,Target:0,Container:CL_TYPE_HTML;0;474946383961\n\
             Mail;Engine:51-255,Target:0,Container:CL_TYPE_MAIL;0;474946383961\n\
             Any;Engine:51-255,Target:0,Container:CL_TYPE_ANY;0;68746d6c2d6e6f726d\n\
             Html;Engine:51-255,Target:0,Container:CL_TYPE_HTML;0;68746d6c2d6e6f726d\n",
        )],
        names: &["Any", "Page"],
    },
];

#[test]
fn pinned_cases_hold() {
    for case in CASES {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let (content, root) = (folder.path().join("content"), folder.path().join("objects"));
        std::fs::create_dir(&content).expect("a folder can be made");
        std::fs::create_dir(&root).expect("a folder can be made");
        for (name, text) in case.databases {
            std::fs::write(content.join(name), text).expect("a database can be written");
        }
        std::fs::write(root.join("object"), case.object).expect("an object can be written");
        let wanted: BTreeSet<String> =
            case.names.iter().map(|name| format!("{name}.UNOFFICIAL")).collect();
        for scanner in [Scanner::Theirs, Scanner::Ours] {
            if scanner == Scanner::Theirs && !scanners::available() {
                continue;
            }
            let mut said = scanners::scan(scanner, &content, &root, &["--allmatch"]);
            assert!(matches!(said.code, Some(0 | 1)), "{}: {}", case.what, said.stderr);
            let names = said.found.remove("object").unwrap_or_default();
            assert_eq!(names, wanted, "{scanner:?}: {}", case.what);
        }
    }
}
