//! The same commands to Debian's clamd and to ours: the same bytes.

#![expect(clippy::unwrap_used, reason = "a helper that cannot set a test up is to fail it")]

use std::os::fd::AsFd as _;

use crate::lab::{Daemon, Lab, chunk, clamd, eicar, skip};

const MORE: &str = "StreamMaxLength 1M\nCommandReadTimeout 2\nReadTimeout 2\nMaxThreads 4\n\
                    ExcludePath \\.out$\nMaxDirectoryRecursion 2\n";
const FOLLOW: &str = "FollowFileSymlinks yes\nFollowDirectorySymlinks yes\nAllowAllMatchScan no\n\
                      CrossFilesystems no\n";

/// Returns a reply in which what differs from run to run has a name.
fn settled(reply: Vec<u8>, lab: &Lab, sorted: bool) -> String {
    let text = String::from_utf8_lossy(&reply).replace(lab.path("").to_str().unwrap(), "LAB/");
    let mut text: String =
        text.split("fd[")
            .enumerate()
            .map(|(idx, part)| {
                if idx == 0 { part } else { part.trim_start_matches(|c: char| c.is_ascii_digit()) }
            })
            .collect::<Vec<_>>()
            .join("fd[N");
    if sorted {
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        lines.sort_unstable();
        text = lines.concat();
    }
    text
}

/// Compares the replies to all commands.
fn compare(ours: &Daemon, theirs: &Daemon, lab: &Lab, commands: &[Vec<u8>], sorted: bool) {
    for command in commands {
        let shown = String::from_utf8_lossy(&command[..command.len().min(60)]).into_owned();
        let want = settled(theirs.ask(command), lab, sorted);
        let got = settled(ours.ask(command), lab, sorted);
        assert_eq!(got, want, "{shown:?}");
    }
}

fn on_paths(lab: &Lab, words: &[&str], paths: &[&str]) -> Vec<Vec<u8>> {
    let files = lab.path("files");
    let mut commands = Vec::new();
    for path in paths {
        for word in words {
            commands.push(format!("n{word} {}/{path}\n", files.display()).into_bytes());
        }
    }
    commands
}

const SINGLE: &[&str] = &[
    "eicar.com",
    "two.bin",
    "clean.txt",
    "empty",
    "link",
    "folder-link",
    "dangling",
    "pipe",
    "none",
    "left.out",
    "sub",
    "sub/",
    "sub//",
    "empty-folder",
    "deep",
    "../files/clean.txt",
];

#[test]
fn words_and_framings() {
    let Some(clamd) = clamd() else { return skip("no clamd") };
    let lab = Lab::new();
    let (ours, theirs) = (lab.ours(MORE), lab.theirs(&clamd, MORE));
    let commands: Vec<Vec<u8>> = [
        &b"PING"[..],
        b"PING\n",
        b"nPING\n",
        b"zPING\0",
        b"PING\r\n",
        b"nPING\r\n",
        b"ping\n",
        b"nping\n",
        b"PINGX\n",
        b"nPING x\n",
        b"nVERSION\n",
        b"VERSION\n",
        b"zVERSION\0",
        b"nVERSIONCOMMANDS\n",
        b"VERSIONCOMMANDS\n",
        b"STATS\n",
        b"END\n",
        b"nEND\n",
        b"zEND\0",
        b"INSTREAM\n",
        b"IDSESSION\n",
        b"nDETSTATS\n",
        b"nDETSTATSCLEAR\n",
        b"STREAM\n",
        b"nSTREAM\n",
        b"RAWSCAN /\n",
        b"nRAWSCAN /\n",
        b"SCAN\n",
        b"nSCAN\n",
        b"nSCAN \n",
        b"SESSION\n",
        b"\n",
        b"n\n",
        b"z\0",
        b"nRELOAD\n",
        b"RELOAD\n",
        b"zRELOAD\0",
        b"xPING\n",
        b"nPING\nnPING\n",
        b"nPING\nnVERSION\n",
        b"PING\nPING\n",
        b"nSCAN eicar.com\n",
        b"nSCAN nothing\n",
        b"nSCAN  /x\n",
        b"nSCAN /dev/null\n",
        b"SCAN /dev/null",
        b"ALLMATCHSCAN /x\n",
    ]
    .iter()
    .map(|bytes| bytes.to_vec())
    .collect();
    compare(&ours, &theirs, &lab, &commands, false);
}

#[test]
fn paths() {
    let Some(clamd) = clamd() else { return skip("no clamd") };
    let lab = Lab::new();
    let words = ["SCAN", "CONTSCAN", "MULTISCAN", "ALLMATCHSCAN"];
    for more in ["", FOLLOW] {
        let more = format!("{MORE}{more}");
        let (ours, theirs) = (lab.ours(&more), lab.theirs(&clamd, &more));
        compare(&ours, &theirs, &lab, &on_paths(&lab, &words, SINGLE), false);
        let all = on_paths(&lab, &["CONTSCAN", "MULTISCAN"], &["", "."]);
        compare(&ours, &theirs, &lab, &all, true);
        let plain = format!("SCAN {}", lab.path("files/eicar.com").display()).into_bytes();
        let nul = format!("zSCAN {}\0", lab.path("files/two.bin").display()).into_bytes();
        let long = format!("nSCAN /{}\n", "a".repeat(4096)).into_bytes();
        compare(&ours, &theirs, &lab, &[plain, nul, long], false);
    }
}

#[test]
fn streams() {
    let Some(clamd) = clamd() else { return skip("no clamd") };
    let lab = Lab::new();
    let (ours, theirs) = (lab.ours(MORE), lab.theirs(&clamd, MORE));
    let (eicar, end) = (chunk(&eicar()), [0u8; 4]);
    let full = chunk(&vec![b'a'; 1 << 20]);
    let mut commands: Vec<Vec<u8>> = vec![
        [b"nINSTREAM\n", &eicar[..], &end].concat(),
        [b"zINSTREAM\0", &eicar[..], &end].concat(),
        [b"nINSTREAM\n", &chunk(b"hello")[..], &end].concat(),
        [b"nINSTREAM\n", &end[..]].concat(),
        [b"nINSTREAM\n", &full[..], &end].concat(),
        [b"nINSTREAM\n", &full[..], &chunk(b"b"), &end].concat(),
        [&b"nINSTREAM\n"[..], b"\xff\xff\xff\xff", b"abc"].concat(),
        [b"nINSTREAM\n", &eicar[..], &end, b"nPING\n"].concat(),
    ];
    let mut split = b"nINSTREAM\n".to_vec();
    for byte in crate::lab::eicar() {
        split.extend(chunk(&[byte]));
    }
    split.extend(end);
    commands.push(split);
    compare(&ours, &theirs, &lab, &commands, false);
}

#[test]
fn sessions() {
    let Some(clamd) = clamd() else { return skip("no clamd") };
    let lab = Lab::new();
    let (ours, theirs) = (lab.ours(MORE), lab.theirs(&clamd, MORE));
    let eicar_path = lab.path("files/eicar.com");
    let eicar_path = eicar_path.to_str().unwrap();
    let stream = [b"nINSTREAM\n", &chunk(&eicar())[..], &[0; 4]].concat();
    let commands: Vec<Vec<u8>> = vec![
        format!("nIDSESSION\nnPING\nnVERSION\nnSCAN {eicar_path}\nnEND\n").into_bytes(),
        format!("zIDSESSION\0zPING\0zVERSION\0zSCAN {eicar_path}\0zEND\0").into_bytes(),
        b"nIDSESSION\nnIDSESSION\nnPING\nnEND\n".to_vec(),
        b"nIDSESSION\nnRELOAD\nnPING\nnEND\n".to_vec(),
        b"nIDSESSION\nnFOO\nnPING\nnEND\n".to_vec(),
        format!("nIDSESSION\nnMULTISCAN {eicar_path}\nnEND\n").into_bytes(),
        b"nIDSESSION\nzPING\0nPING\nnEND\n".to_vec(),
        b"nIDSESSION\nnVERSIONCOMMANDS\nnEND\n".to_vec(),
        b"nIDSESSION\nnSHUTDOWN\nnPING\nnEND\n".to_vec(),
        b"nIDSESSION\nn\nnEND\n".to_vec(),
        b"nIDSESSION\nnSCAN /nothing\nnEND\n".to_vec(),
        b"nIDSESSION\nnEND\n".to_vec(),
        b"IDSESSION\nnPING\n".to_vec(),
        [b"nIDSESSION\n", &stream[..], &stream, b"nPING\nnEND\n"].concat(),
    ];
    compare(&ours, &theirs, &lab, &commands, true);
}

#[test]
fn descriptors() {
    let Some(clamd) = clamd() else { return skip("no clamd") };
    let lab = Lab::new();
    let (ours, theirs) = (lab.ours(MORE), lab.theirs(&clamd, MORE));
    let open = |name: &str| std::fs::File::open(lab.path(name)).unwrap();
    let (eicar, clean, folder) = (open("files/eicar.com"), open("files/clean.txt"), open("files"));
    let null = std::fs::File::open("/dev/null").unwrap();
    let cases: &[(&[u8], &[u8], &[&std::fs::File])] = &[
        (b"nFILDES\n", b"x", &[&eicar]),
        (b"zFILDES\0", b"\0", &[&eicar]),
        (b"FILDES\n", b"x", &[&eicar]),
        (b"nFILDES\n", b"x", &[&clean]),
        (b"nFILDES\n", b"x", &[&folder]),
        (b"nFILDES\n", b"x", &[&null]),
        (b"nFILDES\n", b"x", &[&eicar, &eicar]),
        (b"", b"nFILDES\n", &[&eicar]),
        (b"", b"zFILDES\0\0", &[&eicar]),
        (b"", b"nPING\n", &[&eicar]),
    ];
    for (first, second, files) in cases {
        let ask = |daemon: &Daemon| {
            let mut peer = daemon.connect();
            if !first.is_empty() {
                peer.send(first);
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            let descriptors: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
            peer.pass(second, &descriptors);
            settled(peer.rest(), &lab, false)
        };
        let shown = String::from_utf8_lossy(first);
        assert_eq!(ask(&ours), ask(&theirs), "{shown:?} {} files", files.len());
    }
    // A byte without a descriptor.
    for daemon in [&ours, &theirs] {
        assert_eq!(daemon.ask(b"nFILDES\nx"), b"No file descriptor received. ERROR\n");
    }
}

#[test]
fn late_and_half_commands() {
    let Some(clamd) = clamd() else { return skip("no clamd") };
    let lab = Lab::new();
    let (ours, theirs) = (lab.ours(MORE), lab.theirs(&clamd, MORE));
    // Side by side, because each takes seconds.
    let late: &[&[u8]] = &[
        b"",
        b"nPI",
        b"nPING\0",
        b"nFILDES\n",
        b"nINSTREAM\n\0\0\0\x64abc",
        b"nIDSESSION\nnPING\n",
    ];
    std::thread::scope(|scope| {
        for command in late {
            let (ours, theirs, lab) = (&ours, &theirs, &lab);
            scope.spawn(move || compare(ours, theirs, lab, &[command.to_vec()], false));
        }
    });
    let half: &[&[u8]] = &[b"", b"nPI", b"PING", b"nFILDES\n", b"nINSTREAM\n\0\0\0\x64abc"];
    for command in half {
        let ask = |daemon: &Daemon| {
            let mut peer = daemon.connect();
            peer.send(command);
            peer.done();
            settled(peer.rest(), &lab, false)
        };
        assert_eq!(ask(&ours), ask(&theirs), "{:?}", String::from_utf8_lossy(command));
    }
}

#[test]
fn stats_have_clamds_form() {
    let Some(clamd) = clamd() else { return skip("no clamd") };
    let lab = Lab::new();
    let (ours, theirs) = (lab.ours(MORE), lab.theirs(&clamd, MORE));
    // Numbers differ; everything else is what clamdtop reads.
    let form = |reply: Vec<u8>| {
        let mut form = String::from_utf8(reply).unwrap();
        form.retain(|c| !c.is_ascii_digit());
        // On a busy machine the command before may still be on the list.
        let mut lines: Vec<&str> = form.lines().collect();
        lines.dedup();
        lines.join("\n")
    };
    assert_eq!(form(ours.ask(b"nSTATS\n")), form(theirs.ask(b"nSTATS\n")));
    assert_eq!(form(ours.ask(b"zSTATS\0")), form(theirs.ask(b"zSTATS\0")));
}
