//! HTTP by reqwest: connections that the calling thread drives.

pub(crate) mod address;
pub(crate) mod connection;
pub(crate) mod lookup;
pub(crate) mod proxy;
pub(crate) mod tls;

pub(crate) use reqwest::Url;
