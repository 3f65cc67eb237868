//! Archives both ways.

use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::{path, problem, start};

#[tokio::test(flavor = "multi_thread")]
async fn files_go_out_whole_or_not_at_all() {
    let running = start().await;
    std::fs::create_dir(running.vm.files.path().join("srv")).unwrap();
    let big: Vec<u8> = (0..5_000_000_u32).map(|number| (number % 253) as u8).collect();
    std::fs::write(running.vm.files.path().join("srv/big"), &big).unwrap();
    let pieces = running.client.vm_files_read("web", &path("/srv")).await.unwrap();
    let archive = pieces.map(Result::unwrap).collect::<Vec<_>>().await.concat();
    assert!(
        archive
            .windows(64)
            .any(|window| window == &big[4_000_000..4_000_064])
    );
    assert_eq!(archive.len() % 512, 0);
    for (bad, expected) in [
        ("/nothing", (404, "not_found")),
        ("srv", (422, "invalid_value")),
        ("/a\0b", (422, "invalid_value")),
    ] {
        let refused = running
            .client
            .vm_files_read("web", &path(bad))
            .await
            .err()
            .unwrap();
        let (status, code) = problem(refused);
        assert_eq!((status, code.as_str()), expected, "{bad}");
    }
    // Half of it came when the disk broke: nobody takes that for whole.
    let pieces = running
        .client
        .vm_files_read("web", &path("/large/broken"))
        .await
        .unwrap();
    let pieces: Vec<_> = pieces.collect().await;
    let broken = pieces.last().unwrap().as_ref().unwrap_err();
    assert!(broken.to_string().ends_with("the archive broke off"), "{broken}");
    let raw = running
        .raw("GET /v1/vms/web/files?path=/large/broken HTTP/1.1")
        .await;
    assert!(
        raw.starts_with("HTTP/1.1 200") && !raw.ends_with("0\r\n\r\n"),
        "{raw:?}"
    );
    let small = running.client.vm_files_read("web", &path("/broken")).await;
    assert_eq!(problem(small.err().unwrap()).1, "guest_failed");
    let without = running.raw("GET /v1/vms/web/files HTTP/1.1").await;
    assert!(without.contains("missing field `path`"), "{without}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_in_and_a_full_disk_is_told_while_they_do() {
    let running = start().await;
    let folder = running.vm.files.path();
    std::fs::create_dir_all(folder.join("in/one")).unwrap();
    std::fs::create_dir(folder.join("out")).unwrap();
    let big: Vec<u8> = (0..5_000_000_u32).map(|number| (number % 239) as u8).collect();
    std::fs::write(folder.join("in/one/big"), &big).unwrap();
    let packed = std::process::Command::new("tar")
        .args(["-cf", "-", "-C"])
        .arg(folder.join("in"))
        .arg("one")
        .output();
    let packed = packed.unwrap().stdout;
    let body = |bytes: Vec<u8>| {
        let pieces: Vec<_> = bytes
            .chunks(100_000)
            .map(|piece| Ok(piece.to_vec().into()))
            .collect();
        futures_util::stream::iter(pieces)
    };
    running
        .client
        .vm_files_write("web", &path("/out"), body(packed.clone()))
        .await
        .unwrap();
    assert!(std::fs::read(folder.join("out/one/big")).unwrap() == big);
    for (bad, bytes, expected) in [
        ("/nothing", packed.clone(), (404, "not_found")),
        ("/full", packed.clone(), (502, "guest_failed")),
        ("/full", vec![1; 30_000_000], (502, "guest_failed")),
        ("/out", vec![1; 5000], (422, "invalid_value")),
    ] {
        let refused = running
            .client
            .vm_files_write("web", &path(bad), body(bytes))
            .await
            .unwrap_err();
        let (status, code) = problem(refused);
        assert_eq!((status, code.as_str()), expected, "{bad}");
    }
    // One that breaks off is closed, and never unpacked.
    let mut stream = TcpStream::connect(&running.address).await.unwrap();
    let head = format!(
        "PUT /v1/vms/web/files?path=/out HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/x-tar\r\nContent-Length: {}\r\n\r\n",
        running.token,
        packed.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&packed[..1000]).await.unwrap();
    drop(stream);
    running.vm.until_closed(1).await;
    let text = "PUT /v1/vms/web/files?path=/out HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 0";
    let refused = running.raw(text).await;
    assert!(refused.starts_with("HTTP/1.1 415"), "{refused}");
}
