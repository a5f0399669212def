/*
 * Stands in for the C library's header of this name, of which <linux/videodev2.h> needs these two.
 *
 * `long` is what every Linux kernel takes under the numbers of VIDIOC_QBUF and its like that a structure of
 * this size gives: the only layout on 64-bit machines, the "time32" one on 32-bit machines. The seconds are those
 * since the machine was started, so 32 bits are enough; whatever time_t a C library has makes no difference.
 */
typedef long time_t;
struct timeval { long tv_sec; long tv_usec; };
struct timespec { long tv_sec; long tv_nsec; };
