//! A real RADIUS server: Debian's FreeRADIUS, asked as a switch asks it (MAC authentication
//! bypass).

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::{fs, io};

use tempfile::TempDir;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

/// The configuration folder of Debian's packages.
const PACKAGE: &str = "/etc/freeradius/3.0";

/// The shared secret of clients and server; the server listens on loopback only.
const SHARED_SECRET: &str = "testing123";

/// The whitelist in which FreeRADIUS looks devices up.
#[derive(Clone, Debug)]
pub enum Whitelist {
    /// Its own tables in SQLite; the file is created with its own schema.
    Sqlite(PathBuf),
    /// An HTTP service, at this address.
    Http(String),
}

/// A RADIUS server that ends when this value is dropped.
#[derive(Debug)]
pub struct Radius {
    port: u16,
    _folder: TempDir,
    _process: Child,
}

/// The answer of a RADIUS server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The device gets access.
    Accept,
    /// The device gets no access.
    Reject,
}

/// The RADIUS server cannot be used.
#[derive(Debug, Error)]
pub enum RadiusError {
    /// Debian's packages are not installed.
    #[error(
        "{0} is absent: install it with `apt-get install freeradius freeradius-utils freeradius-rest` (Debian 12)"
    )]
    NotInstalled(&'static str),
    /// A file cannot be written, or a program cannot be started.
    #[error("FreeRADIUS: {0}")]
    Io(#[from] io::Error),
    /// It ended by itself; the text is its output.
    #[error("FreeRADIUS does not start:\n{0}")]
    Ended(String),
    /// It answered neither Accept nor Reject.
    #[error("the RADIUS server gives no answer:\n{0}")]
    NoAnswer(String),
}

impl Radius {
    /// Starts it, and returns when it is ready.
    ///
    /// # Errors
    /// [`RadiusError`] when it is not installed, or does not start.
    pub async fn start(whitelist: &Whitelist) -> Result<Self, RadiusError> {
        let programs =
            ["/usr/sbin/freeradius", "/usr/bin/radclient", "/usr/lib/freeradius/rlm_rest.so"];
        let missing = programs.into_iter().find(|path| !Path::new(path).exists());
        if let Some(missing) = missing {
            return Err(RadiusError::NotInstalled(missing));
        }
        let folder = tempfile::tempdir()?;
        let port = UdpSocket::bind(("127.0.0.1", 0))?.local_addr()?.port();
        configure(folder.path(), whitelist, port)?;
        let mut process = Command::new("/usr/sbin/freeradius")
            .args(["-f", "-X", "-d"])
            .arg(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe);
        let mut lines = BufReader::new(stdout.map_err(io::Error::from)?).lines();
        let mut said = Vec::new();
        loop {
            let Some(line) = lines.next_line().await? else {
                return Err(RadiusError::Ended(said.join("\n")));
            };
            if line.contains("Ready to process requests") {
                break;
            }
            said.push(line);
        }
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { port, _folder: folder, _process: process })
    }

    /// Sends an access request, as a switch does: the device's user name, and the address that the
    /// switch reports.
    ///
    /// # Errors
    /// [`RadiusError`] when there is no answer.
    pub async fn ask(&self, user_name: &str, station: &str) -> Result<Access, RadiusError> {
        let server = format!("127.0.0.1:{}", self.port);
        let mut client = Command::new("/usr/bin/radclient")
            .args(["-r", "1", "-t", "5", "-x", &server, "auth", SHARED_SECRET])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let request = format!(
            "User-Name = \"{user_name}\"\nUser-Password = \"{user_name}\"\n\
             Calling-Station-Id = \"{station}\"\nService-Type = Call-Check\nMessage-Authenticator = 0x00\n"
        );
        if let Some(mut stdin) = client.stdin.take() {
            stdin.write_all(request.as_bytes()).await?;
        }
        let output = client.wait_with_output().await?;
        let said = String::from_utf8_lossy(&output.stdout);
        if said.contains("Received Access-Accept") {
            Ok(Access::Accept)
        } else if said.contains("Received Access-Reject") {
            Ok(Access::Reject)
        } else {
            Err(RadiusError::NoAnswer(said.into_owned()))
        }
    }
}

fn write(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let path = folder.join(name);
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, text)
}

fn configure(folder: &Path, whitelist: &Whitelist, port: u16) -> io::Result<()> {
    let here = folder.display();
    for module in ["expr", "expiration"] {
        let text = fs::read_to_string(format!("{PACKAGE}/mods-available/{module}"))?;
        write(folder, &format!("mods/{module}"), &text)?;
    }
    write(folder, "mods/always", "always reject {\n  rcode = reject\n}\n")?;
    let lookup = match whitelist {
        Whitelist::Sqlite(file) => {
            write(folder, "mods/sql", &sql_module(file))?;
            "sql"
        }
        Whitelist::Http(url) => {
            let module = format!(
                "rest {{\n  connect_uri = \"{url}\"\n  authorize {{\n    uri = \"{url}/radius/authorize\"\n    \
                 method = \"post\"\n    body = \"json\"\n  }}\n}}\n"
            );
            write(folder, "mods/rest", &module)?;
            "rest"
        }
    };
    write(folder, "sites/mab", &SITE.replace("PORT", &port.to_string()).replace("LOOKUP", lookup))?;
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
  secret = {SHARED_SECRET}
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
    )
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

/// Accepts a device if user name and station id are the same address, and the address is on the
/// whitelist and has not expired.
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
