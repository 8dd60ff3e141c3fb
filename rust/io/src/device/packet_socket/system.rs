//! What is asked of the system for a packet socket (packet(7), netdevice(7)), each with the one type of its argument.
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Options of the level `SOL_PACKET` whose value is an int.
#[derive(Clone, Copy, Debug)]
pub(super) enum Switch {
    Version = libc::PACKET_VERSION as isize,
    VnetHeader = libc::PACKET_VNET_HDR as isize,
    IgnoreOutgoing = libc::PACKET_IGNORE_OUTGOING as isize,
    QdiscBypass = libc::PACKET_QDISC_BYPASS as isize,
    CopyThreshold = libc::PACKET_COPY_THRESH as isize,
    FanOut = libc::PACKET_FANOUT as isize,
}

/// A packet socket that receives nothing yet.
pub(super) fn socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: socket(2) takes integers only.
    let descriptor = checked(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
    // SAFETY: it is a new descriptor, which nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Sets an option of the level `SOL_PACKET` whose value is an int.
pub(super) fn set(socket: BorrowedFd<'_>, option: Switch, value: libc::c_int) -> io::Result<()> {
    set_value(socket, option as libc::c_int, &value)
}

/// Makes a ring of slots to receive into (`PACKET_RX_RING`).
pub(super) fn set_slots(socket: BorrowedFd<'_>, request: &libc::tpacket_req) -> io::Result<()> {
    set_value(socket, libc::PACKET_RX_RING, request)
}

/// Makes a ring of blocks to receive into.
pub(super) fn set_blocks(socket: BorrowedFd<'_>, request: &libc::tpacket_req3) -> io::Result<()> {
    set_value(socket, libc::PACKET_RX_RING, request)
}

/// Takes the ring away, of whatever version; nobody may have it mapped.
pub(super) fn free_ring(socket: BorrowedFd<'_>) -> io::Result<()> {
    // As long as the longest form; the shorter ones are its beginning.
    let none = libc::tpacket_req3 {
        tp_block_size: 0,
        tp_block_nr: 0,
        tp_frame_size: 0,
        tp_frame_nr: 0,
        tp_retire_blk_tov: 0,
        tp_sizeof_priv: 0,
        tp_feature_req_word: 0,
    };
    set_value(socket, libc::PACKET_RX_RING, &none)
}

/// Has the interface receive what is for others (`PACKET_MR_PROMISC`), until the socket is closed.
pub(super) fn set_promiscuous(socket: BorrowedFd<'_>, index: libc::c_int) -> io::Result<()> {
    let kind = libc::PACKET_MR_PROMISC as libc::c_ushort;
    let member = libc::packet_mreq { mr_ifindex: index, mr_type: kind, mr_alen: 0, mr_address: [0; 8] };
    set_value(socket, libc::PACKET_ADD_MEMBERSHIP, &member)
}

fn set_value<T: Copy>(socket: BorrowedFd<'_>, option: libc::c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the system reads as many bytes as the value has, which is borrowed for the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            std::ptr::from_ref(value).cast(),
            length,
        )
    };
    checked(result).map(drop)
}

/// Packets that were dropped since the last call, because the ring or the queue was full (`PACKET_STATISTICS`).
pub(super) fn overruns(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut statistics = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
    read_value(socket, libc::SOL_PACKET, libc::PACKET_STATISTICS, &mut statistics)?;
    Ok(u64::from(statistics.tp_drops))
}

/// The group that a socket is in, and how packets are shared out there (`PACKET_FANOUT`).
pub(super) fn fan_out(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut value = 0_u32;
    read_value(socket, libc::SOL_PACKET, libc::PACKET_FANOUT, &mut value)?;
    Ok(value)
}

/// The error that waits at a socket, and waits no more.
pub(super) fn take_error(socket: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    let mut error = 0;
    read_value(socket, libc::SOL_SOCKET, libc::SO_ERROR, &mut error)?;
    Ok(Some(error).filter(|error| *error != 0))
}

fn read_value<T: Copy>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: &mut T,
) -> io::Result<()> {
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the system writes at most `length` bytes, which are those of the value; it is a structure of integers, for
    // which any bytes are a value, and borrowed for the call.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, option, std::ptr::from_mut(value).cast(), &raw mut length)
    };
    checked(result).map(drop)
}

/// Binds a packet socket to the packets of an interface that have a protocol (`ETH_P_…`).
pub(super) fn bind(socket: BorrowedFd<'_>, index: libc::c_int, protocol: libc::c_int) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as libc::c_ushort,
        sll_protocol: (protocol as u16).to_be(),
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the system reads an address of that length, which is borrowed for the call.
    checked(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) }).map(drop)
}

/// `struct ifreq`: a name and a union, which is 24 bytes where pointers have eight, and shorter elsewhere.
#[repr(C, align(8))]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    value: [u8; 24],
}

const _: () = assert!(size_of::<Request>() >= size_of::<libc::ifreq>());

/// What an interface is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Interface {
    pub index: libc::c_int,
    pub name: String,
    pub mtu: u32,
    pub mac: [u8; 6],
    /// `ARPHRD_…`.
    pub kind: u16,
    /// It is up and has a carrier.
    pub up: bool,
}

impl Interface {
    /// The number of the interface with a name, in the namespace of the socket.
    pub(super) fn index_of(socket: BorrowedFd<'_>, name: &str) -> io::Result<libc::c_int> {
        ask(socket, libc::SIOCGIFINDEX, &mut Request::of_name(name))
    }

    /// The interface with a number, in the namespace of the socket. `NXIO` or `NODEV` when there is none.
    pub(super) fn read(socket: BorrowedFd<'_>, index: libc::c_int) -> io::Result<Self> {
        let mut request = Request { name: [0; libc::IFNAMSIZ], value: [0; 24] };
        request.value[..4].copy_from_slice(&index.to_ne_bytes());
        ask(socket, libc::SIOCGIFNAME, &mut request)?;
        let end = request.name.iter().position(|byte| *byte == 0).unwrap_or(request.name.len());
        let name = String::from_utf8_lossy(&request.name[..end]).into_owned();
        let flags = ask(socket, libc::SIOCGIFFLAGS, &mut request)?;
        let mtu = ask(socket, libc::SIOCGIFMTU, &mut request)?;
        ask(socket, libc::SIOCGIFHWADDR, &mut request)?;
        let kind = u16::from_ne_bytes([request.value[0], request.value[1]]);
        let mut mac = [0; 6];
        mac.copy_from_slice(&request.value[2..8]);
        let wanted = libc::IFF_UP | libc::IFF_RUNNING;
        Ok(Self { index, name, mtu: mtu.unsigned_abs(), mac, kind, up: flags & wanted == wanted })
    }
}

impl Request {
    fn of_name(name: &str) -> Self {
        let mut request = Self { name: [0; libc::IFNAMSIZ], value: [0; 24] };
        let length = name.len().min(libc::IFNAMSIZ - 1);
        request.name[..length].copy_from_slice(&name.as_bytes()[..length]);
        request
    }
}

/// Asks about an interface; the answer as an int.
fn ask(socket: BorrowedFd<'_>, what: libc::c_ulong, request: &mut Request) -> io::Result<libc::c_int> {
    // SAFETY: each of the requests above reads and writes one `struct ifreq`, which is not longer than `Request` and holds no
    // pointer in what is asked for here; it is borrowed for the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), what as _, std::ptr::from_mut(request)) };
    checked(result)?;
    let value = &request.value;
    Ok(libc::c_int::from_ne_bytes([value[0], value[1], value[2], value[3]]))
}

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
