//! The real program as a browser or a curl would meet it: a process that serves, plain HTTP/1.1
//! over a socket of our own, and live sockets.

use futures::{SinkExt, StreamExt};
use serde::de::DeserializeOwned;
use shared::live::{Channel, ClientFrame, Push, SUBPROTOCOL, ServerFrame, ServerMessage};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// A serving process; it is ended with the value.
pub struct Served {
    pub address: String,
    child: Child,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A fresh data folder. Others may enter it: the stores run as another user when the tests are
/// root's.
pub fn folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("makes a folder");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).expect("opens it");
    folder
}

/// A folder that looks like the built pages, so that these tests need no wasm.
pub fn site(folder: &Path) -> PathBuf {
    let site = folder.join("site");
    std::fs::create_dir_all(site.join("pkg")).expect("makes a folder");
    std::fs::write(site.join("pkg/lotzero.wasm"), b"\0asm").expect("writes");
    site
}

impl Served {
    /// Starts `lotzero serve` on a free port and waits until it listens.
    pub fn start(data_dir: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lotzero"))
            .args(["serve", "--addr", "127.0.0.1:0", "--no-crowd"])
            .arg("--site-root")
            .arg(site(data_dir))
            .arg("--data-dir")
            .arg(data_dir)
            .args(more)
            .env_remove("DATABASE_URL")
            // Tests call as fast as they can; those of the limits say theirs.
            .envs(["KEY", "SANDBOX", "STRANGER"].map(|of| (format!("LOTZERO_LIMIT_{of}"), "off")))
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut lines = output.lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            line.split_once("listening on http://")
                .map(|(_, address)| address.to_owned())
        });
        // The pipe is drained, or a full one would stop the server.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            address: address.expect("listens"),
            child,
        }
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }

    /// Asks it to stop and waits; answers whether it ended well.
    pub fn terminate(&mut self) -> bool {
        let pid = self.child.id().to_string();
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .expect("kill runs");
        self.child.wait().expect("ends").success()
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// Sends one request on a connection of its own.
pub async fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    exchange(address, text.as_bytes()).await
}

/// Sends bytes as they are on a connection of their own, and reads until the other side closes.
pub async fn exchange(address: &str, sent: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(sent).await.expect("sends");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("answers");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .expect("a status");
    let pair = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_lowercase(), value.to_owned()))
    };
    Answer {
        status: status.parse().expect("a number"),
        headers: lines.filter_map(pair).collect(),
        body: body.to_owned(),
    }
}

/// Somebody's browser: an address and a cookie.
#[derive(Clone)]
pub struct Browser {
    pub address: String,
    pub origin: String,
    pub cookie: String,
}

impl Browser {
    /// A browser that has stepped in as a person of the demo.
    pub async fn step_in(address: &str, handle: &str) -> Self {
        let origin = format!("http://{address}");
        let form = format!("handle={handle}&region=ap-northeast-1&next=%2Fwallet");
        let headers = [
            ("Origin", origin.as_str()),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        let answer = request(address, "POST", "/api/step-in", &headers, &form).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        let cookie = answer.headers["set-cookie"]
            .split(';')
            .next()
            .expect("a cookie")
            .to_owned();
        Self {
            address: address.to_owned(),
            origin,
            cookie,
        }
    }

    /// Sends a form as the page's script does.
    pub async fn post(&self, path: &str, form: &str) -> Answer {
        let headers = [
            ("Origin", self.origin.as_str()),
            ("Cookie", self.cookie.as_str()),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Accept", "application/json"),
        ];
        request(&self.address, "POST", path, &headers, form).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        request(
            &self.address,
            "GET",
            path,
            &[("Cookie", self.cookie.as_str())],
            "",
        )
        .await
    }

    /// Opens the live socket as `handle`.
    pub async fn socket(&self, handle: &str) -> Socket {
        let query = format!("?as={handle}&in=eu-west-1");
        Socket::open(&self.address, &query, &self.cookie).await
    }
}

/// A live socket.
pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Opens a guest's.
    pub async fn of_guest(address: &str) -> Self {
        Self::open(address, "", "").await
    }

    async fn open(address: &str, query: &str, cookie: &str) -> Self {
        let url = format!("ws://{address}/live{query}");
        let mut request = url.into_client_request().expect("a URL");
        let headers = request.headers_mut();
        let origin = format!("http://{address}");
        headers.insert("Origin", origin.parse().expect("a value"));
        headers.insert("Cookie", cookie.parse().expect("a value"));
        headers.insert(
            "Sec-WebSocket-Protocol",
            SUBPROTOCOL.parse().expect("a value"),
        );
        let (socket, _) = connect_async(request).await.expect("upgrades");
        Self(socket)
    }

    pub async fn send(&mut self, frame: &ClientFrame) {
        let text = serde_json::to_string(frame).expect("writes");
        self.0.send(Message::text(text)).await.expect("sends");
    }

    /// Joins a channel and reads up to its snapshot.
    pub async fn join(&mut self, channel: Channel) {
        self.send(&ClientFrame::Subscribe {
            id: 1,
            channel,
            since: None,
        })
        .await;
        while !matches!(self.next().await, ServerMessage::Snapshot { .. }) {}
    }

    /// The next message.
    pub async fn next(&mut self) -> ServerMessage {
        self.read::<ServerFrame>().await.message
    }

    /// The next frame.
    pub async fn read<T: DeserializeOwned>(&mut self) -> T {
        loop {
            let wait = tokio::time::timeout(Duration::from_secs(10), self.0.next());
            let message = wait
                .await
                .expect("in time")
                .expect("open")
                .expect("no error");
            assert!(!message.is_close(), "closed: {message:?}");
            if let Message::Text(text) = message {
                return serde_json::from_str(&text).expect("reads");
            }
        }
    }

    /// The next message, however long it takes; none once the socket has ended.
    pub async fn next_or_end(&mut self) -> Option<ServerMessage> {
        self.next_or_close().await.ok()
    }

    /// The next message, however long it takes, or the code that the server closed the socket
    /// with, if it said one.
    pub async fn next_or_close(&mut self) -> Result<ServerMessage, Option<u16>> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => {
                    let frame = serde_json::from_str::<ServerFrame>(&text);
                    return Ok(frame.expect("reads").message);
                }
                Some(Ok(Message::Close(close))) => return Err(close.map(|c| c.code.into())),
                Some(Ok(_control)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// Reads up to the server's close; answers its code.
    pub async fn closes(&mut self) -> u16 {
        loop {
            let message = self.0.next().await.expect("a close, not an end");
            if let Message::Close(close) = message.expect("no error") {
                return close.expect("a code").code.into();
            }
        }
    }

    /// The next push, whatever channel it is on.
    pub async fn push(&mut self) -> Push {
        loop {
            if let ServerMessage::Push { push, .. } = self.next().await {
                return *push;
            }
        }
    }
}
