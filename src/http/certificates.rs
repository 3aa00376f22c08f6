//! The certificates that are trusted: the operating system's, and those of the CA file.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_native_certs::{CertificateResult, load_certs_from_paths};

use crate::environment::{self, Source};
use crate::error::Error;
use crate::redact::redacted_line;

const SSL_CERT_FILE: &str = "SSL_CERT_FILE";
const SSL_CERT_DIR: &str = "SSL_CERT_DIR";
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Returns the certificates of the CA file and the operating system's.
pub(crate) fn trusted(ca_file: Option<&Path>, source: Source) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        roots.add_parsable_certificates(of_ca_file(path, source)?);
    }
    let system = of_system();
    // A CA file is enough where the system has none.
    if roots.is_empty() || system.is_ok() {
        roots.add_parsable_certificates(system?);
    }
    if roots.is_empty() {
        return Err(none_on_this_system(&[]));
    }
    Ok(roots)
}

/// Returns the certificates of a PEM file or of the PEM files of a folder, at least one.
pub(crate) fn of_ca_file(
    path: &Path,
    source: Source,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    read(path).map_err(|problem| Error::configuration("ca_file", problem).read_from(source))
}

/// Returns the certificates that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, else the system's.
fn of_system() -> Result<Vec<CertificateDer<'static>>, Error> {
    let set = [SSL_CERT_FILE, SSL_CERT_DIR].map(env::var_os);
    let is_set = set.iter().any(Option::is_some);
    let [file, folders] = set.map(|value| value.filter(|value| !value.is_empty()));
    if environment::is_trusted() && (file.is_some() || folders.is_some()) {
        return of_variables(file, folders);
    }
    let found = if is_set { without_variables() } else { rustls_native_certs::load_native_certs() };
    if found.certs.is_empty() {
        let mut causes: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        if is_set {
            causes.push("SSL_CERT_FILE or SSL_CERT_DIR is set: unset both".to_owned());
        }
        return Err(none_on_this_system(&causes));
    }
    Ok(found.certs)
}

/// Returns every certificate that can be read. Fails if the file has none, or if file and folders
/// have none.
fn of_variables(
    file: Option<OsString>,
    folders: Option<OsString>,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let mut certificates = Vec::new();
    if let Some(file) = file {
        // A bundle may hold some that are damaged.
        let found = load_certs_from_paths(Some(Path::new(&file)), None).certs;
        certificates.extend(found.into_iter().filter(is_usable));
        if certificates.is_empty() {
            let unusable = |problem| Error::unusable_variable(SSL_CERT_FILE, "ca_file", problem);
            certificates = read(Path::new(&file)).map_err(unusable)?;
        }
    }
    let mut first_problem = None;
    let folders = folders.iter().flat_map(env::split_paths);
    for folder in folders.filter(|folder| !folder.as_os_str().is_empty()) {
        match read(&folder) {
            Ok(found) => certificates.extend(found),
            Err(problem) => first_problem = first_problem.or(Some(problem)),
        }
    }
    match first_problem {
        Some(problem) if certificates.is_empty() => {
            Err(Error::unusable_variable(SSL_CERT_DIR, "ca_file", problem))
        }
        _ => Ok(certificates),
    }
}

fn none_on_this_system(causes: &[String]) -> Error {
    let causes =
        if causes.is_empty() { String::new() } else { format!(" ({})", causes.join("; ")) };
    let problem = format!(
        "no root certificates on this system; install its ca-certificates, or give a ca_file{causes}"
    );
    Error::configuration("ca_file", problem)
}

/// Loads the system's certificates where SSL_CERT_FILE and SSL_CERT_DIR must not decide: in a program
/// with raised privileges, whose caller sets the variables, and where they are empty.
#[cfg(all(unix, not(target_vendor = "apple")))]
fn without_variables() -> CertificateResult {
    let mut found = CertificateResult::default();
    for folder in openssl_probe::candidate_cert_dirs() {
        let CertificateResult { certs, errors, .. } = load_certs_from_paths(None, Some(folder));
        found.certs.extend(certs);
        found.errors.extend(errors);
    }
    found
}

/// Returns no certificates at all: while the variables are set, nothing here reads the system's.
#[cfg(not(all(unix, not(target_vendor = "apple"))))]
fn without_variables() -> CertificateResult {
    CertificateResult::default()
}

/// Reads a file or a folder. The problem begins with the path.
fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = redacted_line(&path.to_string_lossy(), &[]);
    if path.is_dir() {
        let CertificateResult { certs, errors, .. } = load_certs_from_paths(None, Some(path));
        let certificates: Vec<_> = certs.into_iter().filter(is_usable).collect();
        let cause = errors.first().map_or_else(String::new, |error| format!(" ({error})"));
        let problem = || format!("{shown}: no file of this folder holds a PEM certificate{cause}");
        return if certificates.is_empty() { Err(problem()) } else { Ok(certificates) };
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|e| format!("{shown}: {e}"))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("{shown}: is longer than 16 MiB, which no file of certificates is"));
    }
    // The parser takes a mark at the start of a UTF-8 text for a part of its first line.
    let pem = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
    let mut certificates = Vec::new();
    for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
        match certificate.ok().filter(is_usable) {
            Some(certificate) => certificates.push(certificate),
            None => {
                let line = line_of_certificate(pem, index);
                return Err(format!("{shown}, line {line}: this is not a whole certificate"));
            }
        }
    }
    if certificates.is_empty() {
        return Err(format!("{shown}: {}", other_content(pem)));
    }
    Ok(certificates)
}

fn is_usable(certificate: &CertificateDer<'_>) -> bool {
    RootCertStore::empty().add(certificate.clone().into_owned()).is_ok()
}

/// Returns the line, from 1, on which the certificate with this index starts.
fn line_of_certificate(pem: &[u8], index: usize) -> usize {
    let starts = |line: &&[u8]| line.starts_with(b"-----BEGIN CERTIFICATE");
    let mut lines = pem.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| starts(line));
    lines.nth(index).map_or(1, |(line, _)| line + 1)
}

/// Returns what a file holds in place of certificates in PEM form, and what to do.
fn other_content(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start();
    let label = text.split_once("-----BEGIN ").and_then(|(_, rest)| rest.split_once("-----"));
    let label = label.map(|(label, _)| label).filter(|label| label.len() <= 40);
    let problem = match (bytes, label) {
        _ if text.is_empty() => "is empty",
        ([0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [b'-', 0, ..] | [0, b'-', ..], _) => {
            "is text in UTF-16, as PowerShell writes it; save it as UTF-8"
        }
        ([0x30, 0x80..=0xFF, ..], _) if is_usable(&CertificateDer::from(bytes)) => {
            "is a certificate in DER form; turn it into PEM: openssl x509 -inform der -in FILE \
             -out FILE.pem"
        }
        ([0x30, 0x80..=0xFF, ..], _) => {
            "is binary, such as PKCS #7 or PKCS #12; export the certificate alone, in PEM form"
        }
        (_, Some("CERTIFICATE" | "X509 CERTIFICATE")) => {
            "holds a certificate whose BEGIN line does not start its line; remove what stands before"
        }
        (_, Some("TRUSTED CERTIFICATE")) => {
            "holds a TRUSTED CERTIFICATE; turn it into a plain one: openssl x509 -in FILE -out FILE.pem"
        }
        (_, Some(label)) => {
            return format!("holds a {}, and no CERTIFICATE in PEM form", label.escape_default());
        }
        _ if text.starts_with("MII") => {
            "is a certificate without its lines -----BEGIN CERTIFICATE----- and -----END \
             CERTIFICATE-----; add them"
        }
        _ if text.starts_with('<') => {
            "is an HTML or XML page, and no certificate; download it anew"
        }
        _ if text.contains(char::REPLACEMENT_CHARACTER) => "holds no certificate in PEM form",
        _ => "is a text that holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)",
    };
    problem.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_says_what_it_holds() {
        let utf16: Vec<u8> = "-----BEGIN".bytes().flat_map(|byte| [byte, 0]).collect();
        for (bytes, words) in [
            (&b""[..], "is empty"),
            (b" \r\n", "is empty"),
            (b"\xFF\xFE-\0-\0", "UTF-16"),
            (b"\xFE\xFF\0-\0-", "UTF-16"),
            (&utf16, "UTF-16"),
            (b"\x30\x82\x01\x02\x02", "is binary, such as PKCS #7"),
            (b"\x30\x80\x06\x09", "is binary, such as PKCS #7"),
            (b"  -----BEGIN CERTIFICATE-----\n", "BEGIN line does not start its line"),
            (b"-----BEGIN TRUSTED CERTIFICATE-----\n", "openssl x509 -in"),
            (b"-----BEGIN PRIVATE KEY-----\nMII", "holds a PRIVATE KEY"),
            (b"-----BEGIN PKCS7-----\n", "holds a PKCS7"),
            (b"MIIDdzCCAl+gAwIBAgIEAgAAuTANBg", "without its lines"),
            (b"<!DOCTYPE html>", "HTML"),
            (b"the company's certificate", "is a text that holds no certificate"),
            (b"\x80\x81\x82", "holds no certificate"),
        ] {
            let shown = other_content(bytes);
            assert!(shown.contains(words), "{bytes:?}: {shown}");
        }
    }
}
