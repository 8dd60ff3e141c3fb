/* The bare loop that packet_forward.rs is compared with: from one packet socket to another, nothing in between.
 *
 *     packet_forward MODE IN OUT NETNS SOURCE COUNT LENGTH ROUNDS
 *
 * It runs in the namespace of the interfaces IN and OUT; the interface SOURCE in NETNS leads to IN. In each round COUNT
 * frames of LENGTH bytes are put in by SOURCE, then forwarded; only that is timed, in processor time of the thread. MODE:
 *
 *     ring      TPACKET_V3 in, sendmmsg out
 *     rings     TPACKET_V3 in, PACKET_TX_RING out
 *     messages  recvmmsg in, sendmmsg out
 *     single    recv in, send out
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, BLOCK = 1 << 18, BLOCKS = 32, SLOT = 2048, SLOTS = 1024 };

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int64_t cpu_time(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int open_socket(void)
{
	int one = 1, fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (fd < 0)
		die("socket");
	if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one))
		die("PACKET_IGNORE_OUTGOING");
	return fd;
}

static void bind_socket(int fd, const char *name, int protocol)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(protocol) };
	address.sll_ifindex = if_nametoindex(name);
	if (!address.sll_ifindex || bind(fd, (struct sockaddr *)&address, sizeof address))
		die(name);
}

static struct mmsghdr headers[BATCH];
static struct iovec vectors[BATCH];
static char buffers[BATCH][SLOT];

static void send_batch(int fd, int count)
{
	for (int sent = 0; sent < count;) {
		int n = sendmmsg(fd, headers + sent, count - sent, 0);
		if (n < 0)
			die("sendmmsg");
		sent += n;
	}
}

static void prepare(void)
{
	for (int i = 0; i < BATCH; i++)
		headers[i].msg_hdr = (struct msghdr){ .msg_iov = vectors + i, .msg_iovlen = 1 };
}

static char *receive_ring(int fd)
{
	int version = TPACKET_V3;
	struct tpacket_req3 request = { .tp_block_size = BLOCK, .tp_block_nr = BLOCKS, .tp_frame_size = 2048,
		.tp_frame_nr = BLOCK / 2048 * BLOCKS, .tp_retire_blk_tov = 1 };
	if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version) ||
	    setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request))
		die("PACKET_RX_RING");
	char *ring = mmap(NULL, (size_t)BLOCK * BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ring == MAP_FAILED)
		die("mmap");
	return ring;
}

static char *transmit_ring(int fd)
{
	int version = TPACKET_V2;
	struct tpacket_req request = { .tp_block_size = SLOT * SLOTS, .tp_block_nr = 1, .tp_frame_size = SLOT,
		.tp_frame_nr = SLOTS };
	if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version) ||
	    setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &request, sizeof request))
		die("PACKET_TX_RING");
	char *ring = mmap(NULL, SLOT * SLOTS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ring == MAP_FAILED)
		die("mmap");
	return ring;
}

static int transmit_slot;

static void into_ring(char *ring, const char *frame, unsigned length)
{
	struct tpacket2_hdr *slot = (void *)(ring + transmit_slot * SLOT);
	while (__atomic_load_n(&slot->tp_status, __ATOMIC_ACQUIRE) != TP_STATUS_AVAILABLE)
		;
	memcpy((char *)slot + TPACKET2_HDRLEN - sizeof(struct sockaddr_ll), frame, length);
	slot->tp_len = length;
	__atomic_store_n(&slot->tp_status, TP_STATUS_SEND_REQUEST, __ATOMIC_RELEASE);
	transmit_slot = (transmit_slot + 1) % SLOTS;
}

static int block_index;

/* Forwards the blocks that are ours; how many packets that were. */
static int forward_ring(int out, char *ring, char *into)
{
	int forwarded = 0;
	for (;;) {
		struct tpacket_block_desc *block = (void *)(ring + (size_t)block_index * BLOCK);
		if (!(__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
			return forwarded;
		struct tpacket3_hdr *packet = (void *)((char *)block + block->hdr.bh1.offset_to_first_pkt);
		int filled = 0;
		for (unsigned i = 0; i < block->hdr.bh1.num_pkts; i++) {
			char *frame = (char *)packet + packet->tp_mac;
			if (into)
				into_ring(into, frame, packet->tp_snaplen);
			else
				vectors[filled] = (struct iovec){ frame, packet->tp_snaplen };
			if (++filled == BATCH) {
				if (into)
					send(out, NULL, 0, MSG_DONTWAIT);
				else
					send_batch(out, filled);
				filled = 0;
			}
			packet = (void *)((char *)packet + packet->tp_next_offset);
		}
		if (into)
			send(out, NULL, 0, MSG_DONTWAIT);
		else
			send_batch(out, filled);
		forwarded += block->hdr.bh1.num_pkts;
		__atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		block_index = (block_index + 1) % BLOCKS;
	}
}

static int forward_messages(int in, int out)
{
	int forwarded = 0;
	for (;;) {
		for (int i = 0; i < BATCH; i++)
			vectors[i] = (struct iovec){ buffers[i], SLOT };
		int count = recvmmsg(in, headers, BATCH, MSG_DONTWAIT, NULL);
		if (count < 0)
			return forwarded;
		for (int i = 0; i < count; i++)
			vectors[i].iov_len = headers[i].msg_len;
		send_batch(out, count);
		forwarded += count;
	}
}

static int forward_single(int in, int out)
{
	for (int forwarded = 0;; forwarded++) {
		ssize_t length = recv(in, buffers[0], SLOT, MSG_DONTWAIT);
		if (length < 0)
			return forwarded;
		if (send(out, buffers[0], length, 0) < 0)
			die("send");
	}
}

int main(int argc, char **argv)
{
	if (argc != 9)
		return 2;
	const char *mode = argv[1];
	int count = atoi(argv[6]), length = atoi(argv[7]), rounds = atoi(argv[8]), size = 32 << 20;
	int in = open_socket(), out = open_socket();
	char *ring = !strncmp(mode, "ring", 4) ? receive_ring(in) : NULL;
	char *into = !strcmp(mode, "rings") ? transmit_ring(out) : NULL;
	setsockopt(in, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
	bind_socket(in, argv[2], ETH_P_ALL);
	bind_socket(out, argv[3], 0);
	int there = open(argv[4], O_RDONLY);
	if (there < 0 || setns(there, CLONE_NEWNET))
		die(argv[4]);
	int source = open_socket();
	bind_socket(source, argv[5], 0);

	char frame[SLOT] = { 2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 0x88, 0xb5 };
	for (int round = 0; round < rounds; round++) {
		prepare();
		for (int i = 0; i < BATCH; i++)
			vectors[i] = (struct iovec){ frame, length };
		for (int left = count; left > 0; left -= BATCH)
			send_batch(source, left < BATCH ? left : BATCH);
		int64_t spent = 0;
		int forwarded = 0;
		for (int turn = 0; turn < 50 && forwarded < count; turn++) {
			struct pollfd readable = { in, POLLIN, 0 };
			poll(&readable, 1, 10);
			prepare();
			int64_t start = cpu_time();
			forwarded += ring ? forward_ring(out, ring, into)
				: strcmp(mode, "single") ? forward_messages(in, out) : forward_single(in, out);
			spent += cpu_time() - start;
		}
		if (forwarded < count) {
			fprintf(stderr, "%s: %d of %d frames\n", mode, forwarded, count);
			return 1;
		}
		printf("%.1f\n", (double)spent / forwarded);
	}
	return 0;
}
