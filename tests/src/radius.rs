//! A real RADIUS server: Debian's FreeRADIUS, asked as a switch asks it (MAC authentication bypass).

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

/// Where the packages of Debian keep it.
const PACKAGE: &str = "/etc/freeradius/3.0";

/// What FreeRADIUS looks devices up in.
#[derive(Clone, Debug)]
pub enum Whitelist {
    /// Its own tables in SQLite; the file is made with its own schema.
    Sqlite(PathBuf),
    /// An HTTP service, at this address.
    Http(String),
}

/// A RADIUS server, ended with this value.
#[derive(Debug)]
pub struct Radius {
    port: u16,
    _folder: TempDir,
    _process: Child,
}

/// How a RADIUS server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The device is let in.
    Accept,
    /// It is not.
    Reject,
}

impl Radius {
    /// Starts it, and returns when it is ready.
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub async fn start(whitelist: &Whitelist) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        let port = socket.local_addr().expect("a socket has an address").port();
        drop(socket);
        configure(folder.path(), whitelist, port);
        let mut process = Command::new("freeradius")
            .args(["-f", "-X", "-d"])
            .arg(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("FreeRADIUS is installed: `cargo verify tools` does it");
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let mut said = Vec::new();
        loop {
            let Some(line) = lines.next_line().await.expect("its log is text") else {
                panic!("FreeRADIUS does not start:\n{}", said.join("\n"));
            };
            if line.contains("Ready to process requests") {
                break;
            }
            said.push(line);
        }
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { port, _folder: folder, _process: process }
    }

    /// Asks whether a device may in, as a switch does that spells it like this.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn ask(&self, user_name: &str, calling_station: &str) -> Access {
        let mut client = Command::new("radclient")
            .args([
                "-r",
                "1",
                "-t",
                "5",
                "-x",
                &format!("127.0.0.1:{}", self.port),
                "auth",
                "testing123",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("radclient is installed");
        let request = format!(
            "User-Name = \"{user_name}\"\nUser-Password = \"{user_name}\"\n\
             Calling-Station-Id = \"{calling_station}\"\nService-Type = Call-Check\nMessage-Authenticator = 0x00\n"
        );
        let mut stdin = client.stdin.take().expect("it is piped");
        stdin.write_all(request.as_bytes()).await.expect("it reads");
        drop(stdin);
        let output = client.wait_with_output().await.expect("it ends");
        let said = String::from_utf8_lossy(&output.stdout);
        if said.contains("Received Access-Accept") {
            Access::Accept
        } else {
            assert!(said.contains("Received Access-Reject"), "{said}");
            Access::Reject
        }
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("it has a folder")).expect("a folder can be made");
    fs::write(path, text).expect("a file can be written");
}

fn configure(folder: &Path, whitelist: &Whitelist, port: u16) {
    let here = folder.display();
    for module in ["expr", "expiration"] {
        let text = fs::read_to_string(format!("{PACKAGE}/mods-available/{module}"));
        write(folder, &format!("mods/{module}"), &text.expect("FreeRADIUS is installed"));
    }
    write(folder, "mods/always", "always reject {\n  rcode = reject\n}\n");
    let lookup = match whitelist {
        Whitelist::Sqlite(file) => {
            write(folder, "mods/sql", &sql_module(file));
            "sql"
        }
        Whitelist::Http(url) => {
            let module = format!(
                "rest {{\n  connect_uri = \"{url}\"\n  authorize {{\n    uri = \"{url}/radius/authorize\"\n    \
                 method = \"post\"\n    body = \"json\"\n  }}\n}}\n"
            );
            write(folder, "mods/rest", &module);
            "rest"
        }
    };
    write(folder, "sites/mab", &SITE.replace("PORT", &port.to_string()).replace("LOOKUP", lookup));
    write(
        folder,
        "radiusd.conf",
        &format!(
            "prefix = /usr
logdir = {here}
run_dir = {here}
libdir = /usr/lib/freeradius
pidfile = {here}/freeradius.pid
confdir = {here}
modconfdir = {PACKAGE}/mods-config
max_request_time = 10
cleanup_delay = 2
max_requests = 1024
log {{
  destination = stdout
  auth = yes
}}
security {{
  reject_delay = 0
  status_server = yes
}}
proxy_requests = no
client localhost {{
  ipaddr = 127.0.0.1
  secret = testing123
}}
modules {{
  $INCLUDE mods/
}}
policy {{
  $INCLUDE {PACKAGE}/policy.d/canonicalization
}}
$INCLUDE sites/
"
        ),
    );
}

fn sql_module(file: &Path) -> String {
    format!(
        "sql {{
  driver = \"rlm_sql_sqlite\"
  dialect = \"sqlite\"
  sqlite {{
    filename = \"{}\"
    busy_timeout = 2000
    bootstrap = \"${{modconfdir}}/sql/main/sqlite/schema.sql\"
  }}
  radius_db = \"radius\"
  authcheck_table = \"radcheck\"
  groupcheck_table = \"radgroupcheck\"
  authreply_table = \"radreply\"
  groupreply_table = \"radgroupreply\"
  usergroup_table = \"radusergroup\"
  acct_table1 = \"radacct\"
  acct_table2 = \"radacct\"
  postauth_table = \"radpostauth\"
  client_table = \"nas\"
  group_attribute = \"SQL-Group\"
  read_groups = yes
  read_clients = no
  pool {{
    start = 1
    min = 1
    max = 4
    spare = 1
  }}
  $INCLUDE ${{modconfdir}}/sql/main/${{dialect}}/queries.conf
}}
",
        file.display()
    )
}

/// A device is who it says it is when both names are the same address, and it is let in when it is on the
/// whitelist, before its access ends.
const SITE: &str = r#"
server mab {
  listen {
    type = auth
    ipaddr = 127.0.0.1
    port = PORT
  }
  authorize {
    if (&Calling-Station-Id && (&Calling-Station-Id =~ /^${policy.mac-addr-regexp}$/i)) {
      update request {
        &Calling-Station-Id := "%{tolower:%{1}:%{2}:%{3}:%{4}:%{5}:%{6}}"
      }
    }
    else {
      reject
    }
    if (&User-Name =~ /^${policy.mac-addr-regexp}$/i) {
      if ("%{tolower:%{1}:%{2}:%{3}:%{4}:%{5}:%{6}}" != "%{Calling-Station-Id}") {
        reject
      }
      update request {
        &User-Name := "%{Calling-Station-Id}"
      }
      LOOKUP
      if (notfound || noop) {
        reject
      }
      expiration
      update control {
        &Auth-Type := Accept
      }
    }
    else {
      reject
    }
  }
}
"#;
