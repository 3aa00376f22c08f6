//! A small server on a real socket that follows a script, and a client for it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use skypostal::{Client, Delivery, Error, Kind, Options, Update};
use tokio::net::TcpSocket;

pub const APP_KEY: &str = "0f8e2c6b94d7a1538e60c2f4b9d71a35";
/// With the characters of base64 that JSON, HTML and URLs escape.
pub const CUSTOMER_KEY: &str = "Qm9/TkZ+eXpXdi90emc0ZTRFeDZBTGlUK0RmS1NZQTM=";

/// What the server does after it has read a request.
pub enum Reply {
    /// Sends these bytes and waits for the next request.
    Keep(Vec<u8>),
    /// Sends these bytes and closes the connection, without having announced it.
    Close(Vec<u8>),
    /// Sends these bytes and nothing more, until the client closes the connection.
    Hold(Vec<u8>),
}

pub struct Server {
    pub port: u16,
    pub connections: Arc<AtomicUsize>,
    pub requests: Arc<Mutex<Vec<String>>>,
    /// Set when the client closed a connection.
    pub hung_up: Arc<AtomicBool>,
}

impl Server {
    /// Serves with `script`, given the number of a request, from 0, and the request.
    pub fn new(script: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server {
            port: listener.local_addr().unwrap().port(),
            connections: Arc::default(),
            requests: Arc::default(),
            hung_up: Arc::default(),
        };
        let (connections, requests) = (server.connections.clone(), server.requests.clone());
        let (hung_up, script) = (server.hung_up.clone(), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming() {
                connections.fetch_add(1, Ordering::SeqCst);
                let (script, requests) = (script.clone(), requests.clone());
                let (stream, hung_up) = (stream.unwrap(), hung_up.clone());
                thread::spawn(move || serve(stream, &*script, &requests, &hung_up));
            }
        });
        server
    }

    /// Sends this response to every request, and closes the connection.
    pub fn closing(response: impl Into<Vec<u8>>) -> Self {
        let response = response.into();
        Server::new(move |_, _| Reply::Close(response.clone()))
    }

    pub fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn options(&self) -> Options {
        options(self.port)
    }

    pub fn client(&self) -> Client {
        Client::new(&self.options()).unwrap()
    }

    pub fn client_with(&self, set: impl FnOnce(Options) -> Options) -> Client {
        Client::new(&set(self.options())).unwrap()
    }

    pub fn client_without_retries(&self) -> Client {
        self.client_with(|options| options.max_retries(0))
    }
}

/// A port that refuses connections, and that no other test can get: bound, but not listening.
pub struct PortWithoutListener {
    pub port: u16,
    _bound: TcpSocket,
}

impl PortWithoutListener {
    pub fn new() -> Self {
        let bound = TcpSocket::new_v4().unwrap();
        bound.bind(([127, 0, 0, 1], 0).into()).unwrap();
        PortWithoutListener { port: bound.local_addr().unwrap().port(), _bound: bound }
    }
}

pub fn options(port: u16) -> Options {
    Options::new()
        .base_url(&format!("http://127.0.0.1:{port}"))
        .user_code(396)
        .app_key(APP_KEY)
        .timeout(Duration::from_secs(5))
        .trust_env(false)
}

fn serve(
    mut stream: TcpStream,
    script: &(dyn Fn(usize, &str) -> Reply + Send + Sync),
    requests: &Mutex<Vec<String>>,
    hung_up: &AtomicBool,
) {
    stream.set_nodelay(true).unwrap();
    while let Some(request) = read_request(&mut stream) {
        let number = {
            let mut requests = requests.lock().unwrap();
            requests.push(request.clone());
            requests.len() - 1
        };
        // The client may have closed the connection: then the response has no reader.
        match script(number, &request) {
            Reply::Keep(bytes) => {
                let _ = stream.write_all(&bytes);
            }
            Reply::Close(bytes) => {
                let _ = stream.write_all(&bytes);
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            Reply::Hold(bytes) => {
                let _ = stream.write_all(&bytes);
                let _ = stream.read(&mut [0]);
                hung_up.store(true, Ordering::SeqCst);
                return;
            }
        }
    }
    hung_up.store(true, Ordering::SeqCst);
}

/// The head and the body of the next request, or nothing when the client closed the connection.
pub fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        read_more(stream, &mut bytes)?;
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length = text.split_once("content-length: ").and_then(|(_, rest)| rest.split_once("\r\n"));
    let length: usize = length.map_or(0, |(length, _)| length.parse().unwrap());
    while bytes.len() < head + length {
        read_more(stream, &mut bytes)?;
    }
    assert_eq!(bytes.len(), head + length, "nothing is sent ahead of a response");
    Some(String::from_utf8(bytes).unwrap())
}

fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut some = [0; 4096];
    let count = stream.read(&mut some).ok().filter(|count| *count > 0)?;
    bytes.extend_from_slice(&some[..count]);
    Some(())
}

/// A whole response; the extra headers end with a line break each.
pub fn http(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} \r\nContent-Length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

pub fn accepted(cust_id: usize) -> Vec<u8> {
    http(200, "", &format!(r#"[{{"_verify":true,"cust_id":{cust_id},"error":null}}]"#))
}

pub fn refused(description: &str) -> Vec<u8> {
    let error = format!(r#"{{"error_description":"{description}","system_error":false}}"#);
    http(200, "", &format!(r#"[{{"_verify":false,"error":{error}}}]"#))
}

pub fn update() -> Update {
    Update::new().customer_box_id(811111).customer_key(CUSTOMER_KEY).customer_first_name("New Name")
}

pub fn failure(client: &Client) -> Error {
    client.update_personal_info(&update()).expect_err("this cannot succeed")
}

pub fn end(error: &Error) -> (Kind, Delivery, u32) {
    (error.kind(), error.delivery(), error.attempts())
}

/// Waits until something on another thread has happened.
pub fn wait_until(happened: impl Fn() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(5), "it did not happen");
        thread::sleep(Duration::from_millis(1));
    }
}
