/* What `cargo xtask v4l2-bindings` reads: the kernel's interface and nothing of a C library. */
#include <linux/videodev2.h>
