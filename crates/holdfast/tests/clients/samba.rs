//! Samba's `vfs_virusfilter`, which asks clamd on its local socket about what is opened and closed.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::server::{MARKED, NAME, Said, Server, free_port, missing};

/// A running smbd with folders of its own.
struct Smbd {
    process: Child,
    port: u16,
}

impl Drop for Smbd {
    fn drop(&mut self) {
        // It ends its children when it is asked to; killed, it would leave them.
        if let Some(pid) =
            i32::try_from(self.process.id()).ok().and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until {
            if self.process.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Smbd {
    fn start(server: &Server) -> Self {
        let port = free_port();
        let at = |name: &str| server.at(name).display().to_string();
        for name in ["samba", "samba/state", "samba/private", "samba/lock", "opened", "closed"] {
            fs::create_dir(server.at(name)).expect("a folder can be made");
        }
        // Guests are nobody.
        for name in ["", "opened", "closed"] {
            let mode = fs::Permissions::from_mode(0o777);
            fs::set_permissions(server.at(name), mode).expect("it is ours");
        }
        let share = |name: &str, on: &str, action: &str| {
            format!(
                "[{name}]\n path = {}\n guest ok = yes\n read only = no\n\
                 vfs objects = virusfilter\n virusfilter:scanner = clamav\n\
                 virusfilter:socket path = {}\n virusfilter:scan on open = {on}\n\
                 virusfilter:scan on close = yes\n virusfilter:cache entry limit = 0\n\
                 virusfilter:infected file action = {action}\n",
                at(name),
                server.socket.display()
            )
        };
        let text = format!(
            "[global]\n server role = standalone server\n map to guest = Bad User\n\
             guest account = nobody\n interfaces = 127.0.0.1\n bind interfaces only = yes\n\
             smb ports = {port}\n disable netbios = yes\n load printers = no\n printing = bsd\n\
             printcap name = /dev/null\n private dir = {private}\n lock directory = {lock}\n\
             state directory = {state}\n cache directory = {state}\n pid directory = {own}\n\
             ncalrpc dir = {own}/ncalrpc\n log file = {log}\n log level = 1 vfs:1\n{opened}{closed}",
            private = at("samba/private"),
            lock = at("samba/lock"),
            state = at("samba/state"),
            own = at("samba"),
            log = at("samba/log"),
            opened = share("opened", "yes", "nothing"),
            closed = share("closed", "no", "delete"),
        );
        fs::write(server.at("smb.conf"), text).expect("a file can be written");
        let process = Command::new("/usr/sbin/smbd")
            .args(["-F", "--no-process-group", "-s"])
            .arg(server.at("smb.conf"))
            // It sends the signal that ends it to all of its group, which is not to be ours.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it is installed");
        let mut smbd = Self { process, port };
        let until = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = smbd.process.try_wait().expect("it can be asked");
            let log = fs::read_to_string(server.at("samba/log")).unwrap_or_default();
            assert!(ended.is_none() && Instant::now() < until, "no smbd: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        smbd
    }

    /// Says something to a share, as a guest.
    fn client(&self, server: &Server, share: &str, command: &str) -> Said {
        let mut client = Command::new("smbclient");
        client.arg(format!("//127.0.0.1/{share}")).args(["-N", "-p", &self.port.to_string(), "-s"]);
        client.arg(server.at("smb.conf")).args(["-c", command]).current_dir(server.at(""));
        server.run(&mut client)
    }
}

fn eicar() -> Vec<u8> {
    let head = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-";
    format!("{head}ANTIVIRUS-TEST-FILE!$H+H*").into_bytes()
}

#[test]
fn samba_asks_us_about_files() {
    if missing("smbd") || missing("smbclient") {
        return;
    }
    let module = "samba/vfs/virusfilter.so";
    let found = ["/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
    if !found.iter().any(|lib| Path::new(lib).join(module).exists()) {
        assert!(std::env::var_os("CI").is_none(), "samba-vfs-modules is missing, and this is CI");
        println!("skipped: there is no {module} on this machine");
        return;
    }
    if !rustix::process::geteuid().is_root() {
        println!("skipped: smbd takes root");
        return;
    }
    let server = Server::start();
    let smbd = Smbd::start(&server);
    let write = |name: &str, bytes: &[u8]| fs::write(server.at(name), bytes).expect("it can be");
    let log = || fs::read_to_string(server.at("samba/log")).unwrap_or_default();

    // What is opened: clean files come, others are refused and stay.
    write("opened/good", b"nothing to see");
    write("opened/bad", MARKED);
    write("opened/eicar.com", &eicar());
    smbd.client(&server, "opened", "get good got").check(0, &[]);
    assert_eq!(fs::read(server.at("got")).expect("it came"), b"nothing to see");
    for (name, told) in [("bad", NAME), ("eicar.com", "Test.Eicar.UNOFFICIAL")] {
        let said = smbd.client(&server, "opened", &format!("get {name} refused"));
        said.check(1, &["NT_STATUS_ACCESS_DENIED"]);
        assert!(!server.at("refused").exists() && server.at("opened").join(name).exists());
        assert!(log().contains(&format!("{name}: {told}")), "{}", log());
    }
    // What is closed after it was written: what is infected is taken away.
    write("up-good", b"nothing to see either");
    write("up-bad", &eicar());
    smbd.client(&server, "closed", "put up-good good; put up-bad bad").check(0, &[]);
    let until = Instant::now() + Duration::from_secs(30);
    while server.at("closed/bad").exists() {
        assert!(Instant::now() < until, "it is still there: {}", log());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(fs::read(server.at("closed/good")).expect("it stays"), b"nothing to see either");
}
