//! Writes the C header and names the shared library, when the C face is built.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "capi")]
    capi::build();
}

#[cfg(feature = "capi")]
mod capi {
    use std::env;
    use std::path::PathBuf;

    pub fn build() {
        println!("cargo:rerun-if-changed=cbindgen.toml");
        println!("cargo:rerun-if-changed=src/capi");
        let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
        write_header(&out.join("skypostal.h"));

        let major = env::var("CARGO_PKG_VERSION_MAJOR").expect("set by cargo");
        #[cfg_attr(not(unix), allow(unused_variables))]
        let loaded_as = match env::var("CARGO_CFG_TARGET_OS").as_deref() {
            Ok("linux") => {
                let soname = format!("libskypostal.so.{major}");
                println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,{soname}");
                // A thread that looks a name up, or that ends, still runs code of the library
                // after dlclose: it stays in memory.
                println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
                Some(("libskypostal.so", soname))
            }
            Ok("macos") => {
                // Without it, a program would look for the library in the folder of this build.
                let name = format!("libskypostal.{major}.dylib");
                println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/{name}");
                Some(("libskypostal.dylib", name))
            }
            _ => None,
        };
        #[cfg(unix)]
        if let Some((built, name)) = loaded_as {
            // So that a program linked against the build folder finds what it loads.
            let folder = out.ancestors().nth(3).expect("OUT_DIR is <profile>/build/<package>/out");
            let _ = std::os::unix::fs::symlink(built, folder.join(name));
        }
    }

    fn write_header(path: &std::path::Path) {
        let part = |name: &str| env::var(format!("CARGO_PKG_VERSION{name}")).expect("set by cargo");
        let number = |name: &str| part(name).parse::<u32>().expect("a number");
        let version = format!(
            "/** The version of this header. */\n#define SKYPOSTAL_VERSION \"{}\"\n\n\
             /** The same as a number: major * 1000000 + minor * 1000 + patch. */\n\
             #define SKYPOSTAL_VERSION_NUMBER {}",
            part(""),
            number("_MAJOR") * 1_000_000 + number("_MINOR") * 1_000 + number("_PATCH"),
        );
        let mut config = cbindgen::Config::from_file("cbindgen.toml").expect("cbindgen.toml");
        config.after_includes =
            config.after_includes.map(|text| text.replace("@VERSION@", &version));
        // It follows the modules that this file declares.
        cbindgen::Builder::new()
            .with_src("src/capi/mod.rs")
            .with_config(config)
            .generate()
            .expect("a header")
            .write_to_file(path);
    }
}
