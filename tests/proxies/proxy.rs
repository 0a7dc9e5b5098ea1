//! A real proxy as a child process, with a configuration of `docs/proxies`.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::common::{eventually, free_addresses};
use crate::tls;

/// Which proxy, and how it says whom a connection is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Header fields.
    Nginx,
    /// Header fields.
    Haproxy,
    /// The PROXY protocol, version 1.
    NginxStream,
    /// The PROXY protocol, version 1.
    HaproxyV1,
    /// The PROXY protocol, version 2.
    HaproxyV2,
    /// Header fields; to a Unix socket.
    NginxUnix,
    /// The PROXY protocol, version 2; to a Unix socket.
    HaproxyUnix,
}

pub const BY_FIELDS: [Kind; 3] = [Kind::Nginx, Kind::Haproxy, Kind::NginxUnix];
pub const BY_PROTOCOL: [Kind; 4] =
    [Kind::NginxStream, Kind::HaproxyV1, Kind::HaproxyV2, Kind::HaproxyUnix];
pub const ALL: [Kind; 7] = [
    Kind::Nginx,
    Kind::Haproxy,
    Kind::NginxStream,
    Kind::HaproxyV1,
    Kind::HaproxyV2,
    Kind::NginxUnix,
    Kind::HaproxyUnix,
];

impl Kind {
    fn file(self) -> &'static str {
        match self {
            Kind::Nginx | Kind::NginxUnix => "nginx.conf",
            Kind::Haproxy => "haproxy.cfg",
            Kind::NginxStream => "nginx-stream.conf",
            Kind::HaproxyV1 => "haproxy-proxy-v1.cfg",
            Kind::HaproxyV2 | Kind::HaproxyUnix => "haproxy-proxy-v2.cfg",
        }
    }

    fn is_nginx(self) -> bool {
        matches!(self, Kind::Nginx | Kind::NginxStream | Kind::NginxUnix)
    }

    /// What a configuration writes before the path of a Unix socket, where it leads to one.
    pub fn unix(self) -> Option<&'static str> {
        match self {
            Kind::NginxUnix => Some("unix:"),
            Kind::HaproxyUnix => Some("unix@"),
            _ => None,
        }
    }

    /// What `throng serve` has to be told.
    pub fn flags(self) -> &'static [&'static str] {
        if self == Kind::NginxUnix {
            &["--trust-proxy", "unix"]
        } else if BY_FIELDS.contains(&self) {
            &["--trust-proxy", "127.0.0.1"]
        } else {
            &["--proxy-protocol"]
        }
    }
}

/// A running proxy.
pub struct Proxy {
    child: Child,
    folder: PathBuf,
    /// Where it takes HTTP.
    pub http: SocketAddr,
    /// Where it takes HTTP by TLS, if it does.
    pub https: SocketAddr,
}

impl Proxy {
    /// In front of `server`, an address as the configurations have it; cuts who is silent for
    /// `idle`, likewise a time.
    pub fn start(kind: Kind, server: String, idle: &str) -> Proxy {
        let [http, https] = free_addresses();
        let folder = std::env::temp_dir().join(format!("throng-proxy-{}", http.ip()));
        fs::create_dir_all(&folder).expect("a folder");
        let pem = folder.join("throng.pem");
        fs::write(&pem, tls::pem()).expect("a file in it");
        let pem = pem.display().to_string();
        let mut changes = vec![("127.0.0.1:8080", server), ("75s", idle.to_owned())];
        let mut command = if kind.is_nginx() {
            changes.push(("listen 80;", format!("listen {http};")));
            nginx(&folder)
        } else {
            changes.push(("bind :80\n", format!("bind {http}\n")));
            haproxy(&folder)
        };
        match kind {
            Kind::Nginx | Kind::NginxUnix => {
                changes.push(("listen 443 ssl;", format!("listen {https} ssl;")));
                changes.push(("/etc/ssl/throng.pem", pem));
                changes.push(("access_log off;", scratch_paths(&folder)));
            }
            Kind::Haproxy => {
                changes.push(("bind :443 ", format!("bind {https} ")));
                changes.push(("/etc/ssl/throng.pem", pem));
            }
            Kind::HaproxyV1 | Kind::HaproxyV2 | Kind::HaproxyUnix | Kind::NginxStream => {}
        }
        fs::write(folder.join("config"), adapted(kind.file(), &changes)).expect("a file in it");
        let log = fs::File::create(folder.join("log")).expect("a file in it");
        let to_log = || Stdio::from(log.try_clone().expect("a second handle"));
        command.stdin(Stdio::null()).stdout(to_log()).stderr(to_log());
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{command:?}: {error}; tests/run installs nginx and haproxy")
        });
        let mut proxy = Proxy { child, folder, http, https };
        eventually("the proxy listens", 10.0, || {
            let ended = proxy.child.try_wait().expect("it can be waited for");
            assert!(ended.is_none(), "{kind:?} ended: {}", proxy.log());
            TcpStream::connect(http).is_ok()
        });
        proxy
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let ended = self.child.try_wait();
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the proxy had ended: {ended:?}; its log:\n{}", self.log());
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// One process, which ends when it is killed.
fn nginx(folder: &Path) -> Command {
    let pid = folder.join("pid");
    let mut command = Command::new(program("NGINX", "nginx"));
    command.arg("-p").arg(folder).arg("-c").arg(folder.join("config")).args(["-e", "stderr"]);
    command.arg("-g").arg(format!("daemon off; master_process off; pid {};", pid.display()));
    command
}

fn haproxy(folder: &Path) -> Command {
    let mut command = Command::new(program("HAPROXY", "haproxy"));
    command.arg("-db").arg("-f").arg(folder.join("config"));
    command
}

/// Debian keeps them where the path of who is not root does not look.
fn program(variable: &str, name: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| format!("/usr/sbin/{name}"))
}

/// So that nginx runs for anybody: where it puts what does not fit into memory.
fn scratch_paths(folder: &Path) -> String {
    let path = |name: &str| format!(" {name}_temp_path {}/{name};", folder.display());
    let names = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    std::iter::once("access_log off;".to_owned()).chain(names.map(path)).collect()
}

/// A configuration as it stands in the documents, but for these words; each of them is there.
fn adapted(file: &str, changes: &[(&str, String)]) -> String {
    let path = format!("{}/docs/proxies/{file}", env!("CARGO_MANIFEST_DIR"));
    let mut text = fs::read_to_string(&path).expect(&path);
    for (from, to) in changes {
        assert!(text.contains(from), "{file} says nothing of {from:?}");
        text = text.replace(from, to);
    }
    text
}
