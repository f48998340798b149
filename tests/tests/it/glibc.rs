//! The output of `sam build` starts on Lambda's operating system.

use greenlight_tests::stack::built_template;
use object::Endianness;
use object::elf::FileHeader64;
use object::read::elf::{FileHeader as _, SectionHeader as _};

/// The glibc of Amazon Linux 2023:
/// <https://docs.aws.amazon.com/linux/al2023/ug/compare-with-al2-glibc-gcc-and-binutils.html>
const NEWEST_GLIBC: Version = (2, 34);

type Version = (u32, u32);

/// The newest glibc version whose symbols a program needs.
fn needed_glibc(program: &[u8]) -> Result<Option<Version>, object::Error> {
    let header = FileHeader64::<Endianness>::parse(program)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, program)?;
    let mut newest = None;
    for section in sections.iter() {
        let Some((mut files, strings)) = section.gnu_verneed(endian, program)? else { continue };
        let strings = sections.strings(endian, program, strings)?;
        while let Some((_, mut versions)) = files.next()? {
            while let Some(version) = versions.next()? {
                let name = version.name(endian, strings)?;
                newest = newest.max(std::str::from_utf8(name).ok().and_then(version_of));
            }
        }
    }
    Ok(newest)
}

/// `GLIBC_2.34` as numbers; `None` for names of other libraries.
fn version_of(name: &str) -> Option<Version> {
    let (major, rest) = name.strip_prefix("GLIBC_")?.split_once('.')?;
    let minor = rest.split('.').next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[test]
fn version_of_reads_numbers() {
    assert!(version_of("GLIBC_2.4") < version_of("GLIBC_2.34"));
    assert_eq!(version_of("GLIBC_2.3.4"), Some((2, 3)));
    assert_eq!(version_of("GCC_3.0"), None);
}

/// A program that needs a newer glibc does not start on Lambda.
#[test]
fn bootstraps_need_no_newer_glibc_than_lambda_has() {
    let folder = built_template();
    for function in ["ReceiverFunction", "WorkerFunction"] {
        let path = folder.with_file_name(function).join("bootstrap");
        let needed = needed_glibc(&std::fs::read(&path).unwrap()).unwrap();
        let (major, minor) = needed.expect("a program needs some version");
        println!("{function}: glibc {major}.{minor}; Amazon Linux 2023 has 2.34");
        assert!((major, minor) <= NEWEST_GLIBC, "{function} needs glibc {major}.{minor}");
    }
    // The check works: this test program needs a version of this machine.
    let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(needed_glibc(&own).unwrap().unwrap() >= (2, 17));
}
