//! Messages of the long connection: protocol buffers, as `ws/pb/pbbp2.proto` of the official SDK
//! `lark-oapi` declares them.

use bytes::Bytes;

/// One message.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Frame {
    /// Numbers the messages of a connection.
    #[prost(uint64, required, tag = "1")]
    pub seq_id: u64,
    /// Finds the message in the log of the sender.
    #[prost(uint64, required, tag = "2")]
    pub log_id: u64,
    /// `service_id` of the address of the connection.
    #[prost(int32, required, tag = "3")]
    pub service: i32,
    /// [`CONTROL`] or [`DATA`].
    #[prost(int32, required, tag = "4")]
    pub method: i32,
    #[prost(message, repeated, tag = "5")]
    pub headers: Vec<Header>,
    #[prost(string, optional, tag = "6")]
    pub payload_encoding: Option<String>,
    #[prost(string, optional, tag = "7")]
    pub payload_type: Option<String>,
    #[prost(bytes = "bytes", optional, tag = "8")]
    pub payload: Option<Bytes>,
    #[prost(string, optional, tag = "9")]
    pub log_id_new: Option<String>,
}

/// A header of a [`Frame`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Header {
    #[prost(string, required, tag = "1")]
    pub key: String,
    #[prost(string, required, tag = "2")]
    pub value: String,
}

/// A ping or its answer.
pub const CONTROL: i32 = 0;
/// An event, or the reply to one.
pub const DATA: i32 = 1;

/// Keys of headers.
pub mod key {
    /// What the message is: `ping`, `pong`, `event` or `card`.
    pub const TYPE: &str = "type";
    /// The event that a piece belongs to.
    pub const MESSAGE_ID: &str = "message_id";
    /// The number of pieces of an event.
    pub const SUM: &str = "sum";
    /// The number of a piece, from 0.
    pub const SEQ: &str = "seq";
    /// How long the client took for an event, in milliseconds.
    pub const BIZ_RT: &str = "biz_rt";
}

impl Header {
    /// A header.
    #[must_use]
    pub fn new(key: &str, value: impl Into<String>) -> Self {
        Self { key: key.to_owned(), value: value.into() }
    }
}

impl Frame {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, key: &str) -> Option<&str> {
        Some(self.headers.iter().find(|header| header.key == key)?.value.as_str())
    }
}
