//! Reading a whole file and comparing every checksum, past the cache.
//!
//! In: an open file. Out: the damaged pieces. Pieces lie one behind the other without gaps and
//! padding is zero, so no byte of the file escapes: a flipped bit anywhere is found.

use super::Damage;
use super::directory::Directory;
use super::format::{self, DirectoryHead};
use super::read::{self, Kind, Piece, Reader};
use crate::env::{BLOCK_BYTES, Env};
use crate::shard::cache::Bytes;

const BLOCK: u64 = BLOCK_BYTES as u64;

/// What was found so far, and up to where the file is accounted for.
struct Walk {
    damages: Vec<Damage>,
    /// End of the last piece; `None` behind a piece that does not tell what lies before it.
    end: Option<u64>,
}

impl Walk {
    fn note(&mut self, offset: u64, what: impl Into<String>) {
        self.damages.push(Damage { offset, what: what.into() });
    }

    /// Moves over a piece, which has to start where the last one ended.
    fn pass(&mut self, start: u64, end: u64) {
        if self.end.is_some_and(|known| known != start) {
            self.note(start, "pieces of the file are not in a row");
        }
        self.end = Some(end);
    }
}

impl<E: Env> Reader<E> {
    /// Reads the whole file and checks every checksum. A piece that cannot be read is damaged, too.
    pub async fn verify(&self) -> Vec<Damage> {
        let mut walk = Walk { damages: Vec::new(), end: Some(BLOCK) };
        match self.read(0, BLOCK).await {
            Ok(block) => {
                if let Err(what) = format::check_header(&block, &self.ident) {
                    walk.note(0, what);
                }
            }
            Err(error) => walk.note(0, error.to_string()),
        }
        for section in 0..self.sections().len() {
            for (number, head) in self.directories_of(section) {
                self.verify_directory(&mut walk, number, head).await;
            }
        }
        self.verify_end(&mut walk).await;
        walk.damages
    }

    /// A directory, and the chunks and statistics pages before it.
    async fn verify_directory(&self, walk: &mut Walk, number: u32, head: &DirectoryHead) {
        let piece = Piece { kind: Kind::Directory, offset: head.offset, bytes: head.bytes };
        let Some(bytes) = self.verify_piece(walk, &piece).await else {
            walk.end = Some(piece.end());
            return;
        };
        let Some(directory) = Directory::open(&bytes, number) else { return };
        for info in directory.chunks() {
            let columns: Vec<_> = directory.columns(info.id.index).collect();
            for piece in read::chunk_pieces(&info, &columns) {
                self.verify_piece(walk, &piece).await;
                walk.pass(piece.offset, piece.end());
            }
            self.env.yield_now().await;
        }
        for page in directory.pages() {
            let piece = Piece { kind: Kind::Statistics, offset: page.offset, bytes: page.bytes };
            self.verify_piece(walk, &piece).await;
            walk.pass(piece.offset, piece.end());
        }
        walk.pass(piece.offset, piece.end());
    }

    /// One piece; its bytes when they are sound.
    async fn verify_piece(&self, walk: &mut Walk, piece: &Piece) -> Option<Bytes> {
        match self.read(piece.offset, piece.end()).await {
            Ok(bytes) => {
                let bytes = Bytes::copy(&bytes);
                match piece.fault(&bytes, self.ident.file_id) {
                    None => return Some(bytes),
                    Some(what) => walk.note(piece.offset, what),
                }
            }
            Err(error) => walk.note(piece.offset, error.to_string()),
        }
        None
    }

    /// Table, padding and tail.
    async fn verify_end(&self, walk: &mut Walk) {
        let tail = self.tail;
        let table_end = tail.table_offset + tail.table_bytes;
        let tail_offset = tail.file_bytes - BLOCK;
        walk.pass(tail.table_offset, table_end);
        match self.read(tail.table_offset, table_end).await {
            Ok(bytes) => {
                if format::without_sum(&bytes, self.ident.file_id, tail.table_offset).is_none() {
                    walk.note(tail.table_offset, "table does not match its checksum");
                }
            }
            Err(error) => walk.note(tail.table_offset, error.to_string()),
        }
        match self.read(table_end, tail_offset).await {
            Ok(bytes) => {
                if bytes.iter().any(|byte| *byte != 0)
                    || table_end.div_ceil(BLOCK) * BLOCK != tail_offset
                {
                    walk.note(table_end, "padding is not zero");
                }
            }
            Err(error) => walk.note(table_end, error.to_string()),
        }
        match self.read(tail_offset, tail.file_bytes).await {
            Ok(block) => {
                if let Err(what) = format::read_tail(&block, &self.ident, tail.file_bytes) {
                    walk.note(tail_offset, what);
                }
            }
            Err(error) => walk.note(tail_offset, error.to_string()),
        }
    }
}
