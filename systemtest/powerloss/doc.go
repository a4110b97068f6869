// Package powerloss is a file system for tests that can simulate a power loss. It
// keeps in memory what programs wrote, and knows what they synced. Snapshot
// gives a disk that a power loss at this instant could leave behind: it has
// everything that was synced; everything else may be there or not.
//
// What a program may rely on:
//   - fsync and fdatasync of a file make its data and its size durable;
//   - fsync of a directory makes its names durable: creates, links, renames
//     and removals. A new file whose directory was not synced may be gone, even
//     if the file itself was synced (POSIX promises no more);
//   - a rename happens whole or not at all, over two directories as well;
//   - a sector of 512 bytes holds one of the contents that it had since the
//     last sync, never a mixture.
//
// What may happen to the rest, chosen by a seed: each write reaches the disk
// whole, in some of its pages of 4096 bytes, in some of its sectors, or not at
// all, in any order; a file may have grown without its data, and then reads as
// zeros; names may have changed in any order. Mode, owner and times of a file
// are always durable.
//
// ext4 and XFS promise more: the changes of names stand in one journal, so
// they reach the disk in their order, and a sync of a file that changed its
// size, or is new, brings all of them there. Options.Journal makes a disk like
// that. It is off by default: a store that survives without it survives on
// every file system.
//
// The package is for tests alone, and works on Linux: it needs /dev/fuse and
// the right to mount, but no program such as fusermount.
package powerloss
