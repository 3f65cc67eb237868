//! Compiles the `.proto` files, with a compiler written in Rust: no `protoc` has to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protos: Vec<String> = ["proto/host.proto", "proto/guest.proto"]
        .into_iter()
        .filter(|path| std::path::Path::new(path).exists())
        .map(str::to_owned)
        .collect();
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(&protos, ["proto"])?;
    prost_build::Config::new().compile_fds(descriptors)?;
    Ok(())
}
