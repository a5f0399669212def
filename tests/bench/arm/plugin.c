/* A plugin of QEMU's user emulation: how often each block of instructions ran between two marks.
 *
 * The guest marks by seeking to MARK (begin) and MARK + 1 (end). Arguments: out=FILE, and cache=a72 or
 * cache=a76 for a model of the data caches. FILE gets a line "instructions N", a line "cache LEVEL accesses misses" a
 * level, and a line "COUNT ADDRESS WORD ..." a block, words in hexadecimal.
 *
 * Counts are exact for one thread. The declarations are the part of QEMU's interface that is used; its header is in
 * no package of Debian's qemu-user. */
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct qemu_info_t qemu_info_t;
typedef void (*translated)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*called)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                       uint64_t, uint64_t);
typedef void (*accessed)(unsigned, uint32_t, uint64_t, void *);
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, translated);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
extern void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t, called);
extern void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, accessed, int, int, void *);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);

enum { ADD_U64 = 0, NO_REGISTERS = 0, READ_AND_WRITE = 3 };
enum { SYSCALL_LSEEK = 62, WORDS_MAX = 1024, BUCKETS = 1 << 16, LINE_SHIFT = 6, LEVELS_MAX = 3 };
static const uint64_t MARK = 0x500100000000;

struct block {
  struct block *next;
  uint64_t count, address, words;
  uint32_t word[];
};

/* A set-associative cache, least recently used goes first, lines of 64 bytes, no prefetch. */
struct level {
  uint64_t sets, ways, accesses, misses;
  uint64_t *line, *used;
};

static struct block *blocks[BUCKETS];
static struct level levels[LEVELS_MAX];
static int level_count;
static uint64_t clock_ticks;
static char out_path[4096];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *zeroed(size_t count, size_t size) {
  void *memory = calloc(count, size);
  if (!memory) {
    fputs("plugin: out of memory\n", stderr);
    exit(1);
  }
  return memory;
}

static void add_level(uint64_t kib, uint64_t ways) {
  struct level *level = &levels[level_count++];
  level->ways = ways;
  level->sets = (kib << 10 >> LINE_SHIFT) / ways;
  level->line = zeroed(level->sets * ways, sizeof *level->line);
  level->used = zeroed(level->sets * ways, sizeof *level->used);
}

static int hits(struct level *level, uint64_t line) {
  uint64_t first = line % level->sets * level->ways, victim = first;
  level->accesses++;
  for (uint64_t way = first; way < first + level->ways; way++) {
    if (level->line[way] == line + 1) {
      level->used[way] = ++clock_ticks;
      return 1;
    }
    if (level->used[way] < level->used[victim]) victim = way;
  }
  level->line[victim] = line + 1;
  level->used[victim] = ++clock_ticks;
  level->misses++;
  return 0;
}

static void access_memory(unsigned cpu, uint32_t info, uint64_t address, void *data) {
  (void)cpu, (void)info, (void)data;
  for (int i = 0; i < level_count && !hits(&levels[i], address >> LINE_SHIFT); i++) continue;
}

static struct block *block_of(uint64_t address, const uint32_t *words, size_t count) {
  struct block **bucket = &blocks[((address >> 2) * 0x9e3779b97f4a7c15u + count) >> 48];
  for (struct block *block = *bucket; block; block = block->next)
    if (block->address == address && block->words == count && !memcmp(block->word, words, 4 * count)) return block;
  struct block *block = zeroed(1, sizeof *block + 4 * count);
  block->address = address;
  block->words = count;
  memcpy(block->word, words, 4 * count);
  block->next = *bucket;
  return *bucket = block;
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
  (void)id;
  uint32_t words[WORDS_MAX];
  size_t count = qemu_plugin_tb_n_insns(tb);
  if (count > WORDS_MAX) {
    fputs("plugin: a block of too many instructions\n", stderr);
    exit(1);
  }
  for (size_t i = 0; i < count; i++) {
    struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(tb, i);
    memcpy(&words[i], qemu_plugin_insn_data(instruction), 4);
    if (level_count) qemu_plugin_register_vcpu_mem_cb(instruction, access_memory, NO_REGISTERS, READ_AND_WRITE, NULL);
  }
  pthread_mutex_lock(&lock);
  struct block *block = block_of(qemu_plugin_tb_vaddr(tb), words, count);
  pthread_mutex_unlock(&lock);
  qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, &block->count, 1);
}

static void begin(void) {
  for (int i = 0; i < BUCKETS; i++)
    for (struct block *block = blocks[i]; block; block = block->next) block->count = 0;
  for (int i = 0; i < level_count; i++) levels[i].accesses = levels[i].misses = 0;
}

static void end(void) {
  uint64_t total = 0;
  FILE *out = fopen(out_path, "w");
  if (!out) {
    perror(out_path);
    exit(1);
  }
  for (int i = 0; i < BUCKETS; i++)
    for (struct block *block = blocks[i]; block; block = block->next) total += block->count * block->words;
  fprintf(out, "instructions %" PRIu64 "\n", total);
  for (int i = 0; i < level_count; i++)
    fprintf(out, "cache %d %" PRIu64 " %" PRIu64 "\n", i + 1, levels[i].accesses, levels[i].misses);
  for (int i = 0; i < BUCKETS; i++)
    for (struct block *block = blocks[i]; block; block = block->next) {
      if (!block->count) continue;
      fprintf(out, "%" PRIu64 " %" PRIx64, block->count, block->address);
      for (uint64_t k = 0; k < block->words; k++) fprintf(out, " %08x", block->word[k]);
      fputc('\n', out);
    }
  if (fclose(out)) {
    perror(out_path);
    exit(1);
  }
}

static void system_call(qemu_plugin_id_t id, unsigned cpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3,
                        uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
  (void)id, (void)cpu, (void)a1, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
  if (number != SYSCALL_LSEEK) return;
  if (a2 == MARK) begin();
  if (a2 == MARK + 1) end();
}

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int count,
                                                               char **arguments) {
  (void)info;
  for (int i = 0; i < count; i++) {
    if (!strncmp(arguments[i], "out=", 4)) snprintf(out_path, sizeof out_path, "%s", arguments[i] + 4);
    if (!strcmp(arguments[i], "cache=a72")) add_level(32, 2), add_level(1024, 16);
    if (!strcmp(arguments[i], "cache=a76")) add_level(64, 4), add_level(512, 8), add_level(2048, 16);
  }
  if (!out_path[0]) {
    fputs("plugin: out=FILE is missing\n", stderr);
    return 1;
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
  qemu_plugin_register_vcpu_syscall_cb(id, system_call);
  return 0;
}
