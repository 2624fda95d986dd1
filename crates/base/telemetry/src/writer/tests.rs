use super::*;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::Instant;

const GRACE: Duration = Duration::from_secs(20);

/// An empty folder of the test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("weir-log-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> (PathBuf, Sink) {
        let path = self.0.join(name);
        let sink = Sink::open(Target::File(path.clone())).unwrap();
        (path, sink)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A pipe as a destination. It fills when nobody reads.
fn pipe() -> (io::PipeReader, Sink) {
    let (reader, writer) = io::pipe().unwrap();
    let sink = Sink::open(Target::File(
        format!("/proc/self/fd/{}", writer.as_raw_fd()).into(),
    ))
    .unwrap();
    (reader, sink)
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let give_up = Instant::now() + GRACE;
    while !condition() {
        assert!(Instant::now() < give_up, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Hands over line `number`, of `len` bytes in all.
fn log(queue: &LogQueue, number: usize, len: usize) {
    queue.hand_over(line(number, len).into_bytes(), 1);
}

fn line(number: usize, len: usize) -> String {
    let digits = number.to_string();
    format!("{digits}{}\n", " ".repeat(len - 1 - digits.len()))
}

fn number(line: &str) -> usize {
    line.trim_end().parse().unwrap()
}

#[test]
fn lines_arrive_in_order() {
    let folder = Folder::new("order");
    let (path, sink) = folder.file("log");
    let writer = LogWriter::start("log", sink, 2000).unwrap();
    let queue = writer.queue();
    (0..1000).for_each(|i| log(&queue, i, 20));
    let stats = writer.stats();
    assert!(writer.shutdown(GRACE));
    let text = fs::read_to_string(path).unwrap();
    assert_eq!(
        text.lines().map(number).collect::<Vec<_>>(),
        (0..1000).collect::<Vec<_>>()
    );
    assert_eq!(
        (stats.lines(), stats.bytes(), stats.dropped(), stats.lost()),
        (1000, 20_000, 0, 0)
    );
    log(&queue, 0, 20);
    assert_eq!(stats.dropped(), 1, "a stopped log takes nothing");
}

#[test]
fn a_sleeping_reader_costs_lines_but_no_time() {
    let (reader, sink) = pipe();
    let writer = LogWriter::start("log", sink, 8).unwrap();
    let queue = writer.queue();
    let stats = writer.stats();
    let total = 10_000;
    // 2 MB into a 64 KiB pipe and 8 places: that this ends at all shows that nobody waits.
    (0..total).for_each(|i| log(&queue, i, 200));
    assert!(stats.dropped() > 0);
    let read = std::thread::spawn(move || {
        BufReader::new(reader)
            .lines()
            .map(Result::unwrap)
            .collect::<Vec<_>>()
    });
    assert!(writer.shutdown(GRACE));
    let read = read.join().unwrap();
    assert_eq!(read.len() as u64, stats.lines());
    assert_eq!(stats.lines() + stats.dropped(), total as u64);
    assert_eq!(stats.lost(), 0);
    assert!(read.iter().map(|line| number(line)).is_sorted());
}

#[test]
fn a_sleeping_reader_cannot_hold_up_the_shutdown() {
    let (_reader, sink) = pipe();
    let writer = LogWriter::start("log", sink, 1000).unwrap();
    let queue = writer.queue();
    let stats = writer.stats();
    (0..1000).for_each(|i| log(&queue, i, 1000));
    assert!(!writer.shutdown(Duration::from_millis(50)));
    until("the thread ends", || stats.lines() + stats.lost() == 1000);
    assert!(stats.lost() > 900);
}

#[test]
fn a_redirect_past_a_sleeping_reader_loses_no_line() {
    // With short lines, and with lines in three pieces, of which a pipe's 16 pages end with one.
    for len in [100, 10_000] {
        let folder = Folder::new(&format!("redirect-{len}"));
        let (mut reader, sink) = pipe();
        let writer = LogWriter::start("log", sink, 10_000).unwrap();
        let queue = writer.queue();
        let stats = writer.stats();
        let total = 200_000 / len;
        (0..total).for_each(|i| log(&queue, i, len));
        until("the pipe is full", || {
            rustix::io::ioctl_fionread(&reader).unwrap() >= 54_000
        });
        let (path, sink) = folder.file("log");
        writer.redirect(sink);
        assert_eq!(writer.target(), Target::File(path.clone()));
        assert!(writer.shutdown(GRACE));
        let mut piped = String::new();
        reader.read_to_string(&mut piped).unwrap();
        let whole = piped.rfind('\n').map_or(0, |end| end + 1);
        let both = piped[..whole].to_owned() + &fs::read_to_string(path).unwrap();
        assert_eq!(
            both.lines().map(number).collect::<Vec<_>>(),
            (0..total).collect::<Vec<_>>()
        );
        assert_eq!((stats.lines(), stats.lost()), (total as u64, 0));
    }
}

#[test]
fn reopen_after_rotation() {
    let folder = Folder::new("reopen");
    let (path, sink) = folder.file("log");
    let writer = LogWriter::start("log", sink, 100).unwrap();
    let queue = writer.queue();
    let stats = writer.stats();
    log(&queue, 1, 10);
    until("the line is written", || stats.lines() == 1);
    let rotated = path.with_extension("1");
    fs::rename(&path, &rotated).unwrap();
    log(&queue, 2, 10);
    until("the line is written", || stats.lines() == 2);
    writer.reopen().unwrap();
    log(&queue, 3, 10);
    assert!(writer.shutdown(GRACE));
    assert_eq!(
        fs::read_to_string(rotated).unwrap(),
        line(1, 10) + &line(2, 10)
    );
    assert_eq!(fs::read_to_string(path).unwrap(), line(3, 10));
}

#[test]
fn a_reopen_that_fails_keeps_the_old_file() {
    let folder = Folder::new("reopen-fails");
    let (path, sink) = folder.file("log");
    let writer = LogWriter::start("log", sink, 100).unwrap();
    let kept = path.with_extension("kept");
    fs::rename(&path, &kept).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(writer.reopen().is_err());
    log(&writer.queue(), 1, 10);
    assert!(writer.shutdown(GRACE));
    assert_eq!(fs::read_to_string(kept).unwrap(), line(1, 10));
}

#[test]
fn a_full_disk_is_counted_and_survived() {
    let folder = Folder::new("full");
    let full = Sink::open(Target::File("/dev/full".into())).unwrap();
    let writer = LogWriter::start("log", full, 100).unwrap();
    let queue = writer.queue();
    let stats = writer.stats();
    queue.hand_over(b"a\nb\nc\n".to_vec(), 3);
    until("the error is counted", || stats.lost() == 3);
    log(&queue, 1, 10);
    until("the next batch was tried", || stats.errors() == 2);
    let (path, sink) = folder.file("log");
    writer.redirect(sink);
    log(&queue, 2, 10);
    assert!(writer.shutdown(GRACE));
    assert_eq!(fs::read_to_string(path).unwrap(), line(2, 10));
    assert_eq!((stats.lines(), stats.lost()), (1, 4));
}

#[test]
fn a_line_torn_by_an_error_ends_before_the_next() {
    let folder = Folder::new("torn");
    let path = folder.0.join("fifo");
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    let open = || {
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
        fs::File::from(rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).unwrap())
    };
    let first = open();
    let writer =
        LogWriter::start("log", Sink::open(Target::File(path.clone())).unwrap(), 100).unwrap();
    let queue = writer.queue();
    let stats = writer.stats();
    // More than a pipe holds, in one line; a second line stays behind it.
    log(&queue, 1, 200_000);
    until("the pipe is full", || {
        rustix::io::ioctl_fionread(&first).unwrap() >= 60_000
    });
    drop(first);
    until("the reader's end is noticed", || stats.lost() == 1);
    assert_eq!(stats.errors(), 1);
    // What the pipe holds waits for the next reader.
    let second = open();
    let read = std::thread::spawn(move || {
        let flags = rustix::fs::fcntl_getfl(&second).unwrap() - rustix::fs::OFlags::NONBLOCK;
        rustix::fs::fcntl_setfl(&second, flags).unwrap();
        BufReader::new(second)
            .lines()
            .map(Result::unwrap)
            .collect::<Vec<_>>()
    });
    log(&queue, 2, 10);
    assert!(writer.shutdown(GRACE));
    let lines = read.join().unwrap();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].len() < 200_000);
    assert_eq!(number(&lines[1]), 2);
}

#[test]
fn turning_it_off_writes_what_came_before() {
    let folder = Folder::new("off");
    let (path, sink) = folder.file("log");
    let writer = LogWriter::start("log", sink, 1000).unwrap();
    let queue = writer.queue();
    (0..500).for_each(|i| log(&queue, i, 10));
    writer.redirect(Sink::open(Target::Off).unwrap());
    assert!(!queue.is_on());
    assert!(writer.shutdown(GRACE));
    assert_eq!(fs::read_to_string(path).unwrap().lines().count(), 500);
}

#[test]
fn turning_it_on_takes_effect() {
    let folder = Folder::new("on");
    let writer = LogWriter::start("log", Sink::open(Target::Off).unwrap(), 10).unwrap();
    let queue = writer.queue();
    assert!(!queue.is_on());
    let (path, sink) = folder.file("log");
    writer.redirect(sink);
    assert!(queue.is_on());
    log(&queue, 1, 10);
    assert!(writer.shutdown(GRACE));
    assert_eq!(fs::read_to_string(path).unwrap(), line(1, 10));
}

#[test]
fn buffers_come_back() {
    let folder = Folder::new("recycle");
    let (_, sink) = folder.file("log");
    let writer = LogWriter::start("log", sink, 10).unwrap();
    let queue = writer.queue();
    let stats = writer.stats();
    let mut buffer = Vec::with_capacity(40_000);
    let mut huge = Vec::with_capacity(400_000);
    for buffer in [&mut buffer, &mut huge] {
        buffer.extend_from_slice(b"x\n");
        while queue.try_hand_over(buffer, 1) == Handover::Busy {}
    }
    assert_eq!(buffer.capacity(), 0);
    until("both are written", || stats.lines() == 2);
    until("a buffer came back", || {
        let mut buffer = b"x\n".to_vec();
        while queue.try_hand_over(&mut buffer, 1) == Handover::Busy {}
        assert!(buffer.is_empty() && buffer.capacity() < 400_000);
        buffer.capacity() == 40_000
    });
    assert!(writer.shutdown(GRACE));
}
