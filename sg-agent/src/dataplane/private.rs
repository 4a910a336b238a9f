//! Files and directories for their owner alone, whatever the umask: what a policy says is nobody else's business, and who
//! may open a directory may lock it.

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

/// Makes a directory and those that lead to it; what is there already stays as it is.
///
/// # Errors
/// If one cannot be made.
pub fn create_dir_all(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a file, in the place of one that is there.
///
/// # Errors
/// If it cannot be made.
pub fn create_file(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn nobody_else_may_read_them() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("a/b");
        create_dir_all(&directory).unwrap();
        create_dir_all(&directory).unwrap();
        let file = directory.join("file");
        fs::write(&file, "before").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        drop(create_file(&file).unwrap());
        assert_eq!([&directory, &place.path().join("a")].map(|path| mode(path)), [0o700; 2]);
        assert_eq!((mode(&file), fs::read(&file).unwrap()), (0o600, Vec::new()));
    }
}
