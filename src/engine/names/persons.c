/*
 * engine/names/persons.c
 */
#include "engine/names/persons.h"

#include <stdlib.h>
#include <string.h>

enum { NONE = 0 }; /* as a place: they start at 1 */

/* An actor that was ever in a link, or erased. */
typedef struct Node {
    uint32_t actor;
    uint32_t person; /* 0 = erased */
    uint32_t ordinal;
    uint32_t next;  /* of its person: a ring of nodes */
    uint32_t edges; /* the first of its halves */
    uint32_t *joined;
    uint32_t joined_count, joined_cap; /* ordinal 1 and on: who ever belonged to this number */
} Node;

/* Half a link, in its node's list; the other half is its neighbour, an odd place beside an even one. */
typedef struct Half {
    uint32_t to; /* node */
    uint32_t next;
} Half;

struct Persons {
    uint32_t links_max, links, erased;
    uint32_t *node_of; /* actor -> node */
    uint32_t actor_room;
    Node *nodes;
    uint32_t node_count, node_cap;
    Half *halves;
    uint32_t half_count, half_cap, free_half; /* halves[0] and [1] are not used */
    PersonsChange *changes;
    uint32_t change_count, change_cap;
    uint64_t joined_bytes;
    uint32_t members[2 * PERSONS_ACTORS_MAX]; /* nodes that a change looks at */
    uint32_t member_count;
    Moved *moved;
};

static void *grown(void *old, uint32_t *cap, uint32_t wanted, size_t size)
{
    if (wanted <= *cap)
        return old;
    const uint32_t room = wanted * 2 + 14;
    char *more = realloc(old, room * size);
    CHECK(more != NULL);
    memset(more + (size_t)*cap * size, 0, (room - *cap) * size);
    *cap = room;
    return more;
}

Persons *persons_new(uint32_t links_max)
{
    Persons *p = calloc(1, sizeof *p);
    CHECK(p != NULL);
    p->links_max = links_max;
    p->nodes = grown(NULL, &p->node_cap, 1, sizeof *p->nodes);
    p->halves = grown(NULL, &p->half_cap, 2, sizeof *p->halves);
    p->node_count = 1;
    p->half_count = 2;
    p->moved = moved_new();
    return p;
}

void persons_free(Persons *p)
{
    if (p == NULL)
        return;
    for (uint32_t i = 0; i < p->node_count; i++)
        free(p->nodes[i].joined);
    free(p->node_of);
    free(p->nodes);
    free(p->halves);
    free(p->changes);
    moved_unref(p->moved);
    free(p);
}

uint64_t persons_bytes(const Persons *p)
{
    return (uint64_t)p->actor_room * sizeof *p->node_of + (uint64_t)p->node_cap * sizeof *p->nodes +
           (uint64_t)p->half_cap * sizeof *p->halves + p->joined_bytes +
           (uint64_t)p->change_cap * sizeof *p->changes + moved_bytes(p->moved);
}

/* ---- who is whom -------------------------------------------------------------------------------- */

static const Node *find_node(const Persons *p, uint32_t actor)
{
    return actor < p->actor_room && p->node_of[actor] != NONE ? &p->nodes[p->node_of[actor]] : NULL;
}

uint32_t persons_of(const Persons *p, uint32_t actor)
{
    const Node *n = find_node(p, actor);
    return n == NULL ? actor : n->person;
}

bool persons_is_person(const Persons *p, uint32_t number)
{
    return persons_of(p, number) == number;
}

uint32_t persons_ordinal(const Persons *p, uint32_t actor)
{
    const Node *n = find_node(p, actor);
    return n == NULL ? 0 : n->ordinal;
}

uint32_t persons_actor(const Persons *p, uint32_t person, uint32_t ordinal)
{
    if (ordinal == 0)
        return person;
    const Node *n = find_node(p, person);
    return n != NULL && ordinal <= n->joined_count ? n->joined[ordinal - 1] : 0;
}

/* ---- nodes and links ---------------------------------------------------------------------------- */

static uint32_t node_for(Persons *p, uint32_t actor)
{
    p->node_of = grown(p->node_of, &p->actor_room, actor + 1, sizeof *p->node_of);
    if (p->node_of[actor] != NONE)
        return p->node_of[actor];
    p->nodes = grown(p->nodes, &p->node_cap, p->node_count + 1, sizeof *p->nodes);
    const uint32_t at = p->node_count++;
    p->nodes[at] = (Node){.actor = actor, .person = actor, .next = at};
    p->node_of[actor] = at;
    return at;
}

/* The half of a's list that leads to b; NONE = they are not linked. */
static uint32_t find_half(const Persons *p, uint32_t a, uint32_t b)
{
    uint32_t half = p->nodes[a].edges;
    while (half != NONE && p->halves[half].to != b)
        half = p->halves[half].next;
    return half;
}

static uint32_t new_halves(Persons *p)
{
    const uint32_t at = p->free_half;
    if (at != NONE) {
        p->free_half = p->halves[at].next;
        return at;
    }
    p->halves = grown(p->halves, &p->half_cap, p->half_count + 2, sizeof *p->halves);
    p->half_count += 2;
    return p->half_count - 2;
}

static void add_link(Persons *p, uint32_t a, uint32_t b)
{
    const uint32_t half = new_halves(p);
    p->halves[half] = (Half){b, p->nodes[a].edges};
    p->halves[half + 1] = (Half){a, p->nodes[b].edges};
    p->nodes[a].edges = half;
    p->nodes[b].edges = half + 1;
    p->links++;
}

static void take_out(Persons *p, uint32_t node, uint32_t half)
{
    uint32_t *at = &p->nodes[node].edges;
    while (*at != half)
        at = &p->halves[*at].next;
    *at = p->halves[half].next;
}

static void remove_link(Persons *p, uint32_t a, uint32_t half)
{
    const uint32_t first = half & ~1U;
    take_out(p, p->halves[half].to, half ^ 1);
    take_out(p, a, half);
    p->halves[first].next = p->free_half;
    p->free_half = first;
    p->links--;
}

/* ---- what hangs together ------------------------------------------------------------------------- */

static uint32_t count_actors(const Persons *p, uint32_t node)
{
    uint32_t n = 1;
    for (uint32_t at = p->nodes[node].next; at != node; at = p->nodes[at].next)
        n++;
    return n;
}

static void add_members(Persons *p, uint32_t node)
{
    uint32_t at = node;
    do {
        p->members[p->member_count++] = at;
        at = p->nodes[at].next;
    } while (at != node);
}

/* As the ordinal that the actor had there before, or the next one. */
static uint32_t join(Persons *p, uint32_t person, uint32_t actor)
{
    Node *n = &p->nodes[p->node_of[person]];
    for (uint32_t i = 0; i < n->joined_count; i++)
        if (n->joined[i] == actor)
            return i + 1;
    const uint32_t cap = n->joined_cap;
    n->joined = grown(n->joined, &n->joined_cap, n->joined_count + 1, sizeof *n->joined);
    p->joined_bytes += (uint64_t)(n->joined_cap - cap) * sizeof *n->joined;
    n->joined[n->joined_count++] = actor;
    return n->joined_count;
}

/* Puts whoever can be reached from members[first] behind it; where they end. */
static uint32_t reach(Persons *p, uint32_t first)
{
    uint32_t end = first + 1;
    for (uint32_t i = first; i < end; i++)
        for (uint32_t half = p->nodes[p->members[i]].edges; half != NONE;
             half = p->halves[half].next) {
            uint32_t at = end;
            while (at < p->member_count && p->members[at] != p->halves[half].to)
                at++;
            if (at == p->member_count)
                continue; /* it is among them already */
            p->members[at] = p->members[end];
            p->members[end++] = p->halves[half].to;
        }
    return end;
}

/* By their numbers: the first one's is the person's, and in that order they join. */
static void sort_members(Persons *p, uint32_t from, uint32_t to)
{
    for (uint32_t i = from + 1; i < to; i++) {
        const uint32_t member = p->members[i];
        uint32_t at = i;
        for (; at > from && p->nodes[p->members[at - 1]].actor > p->nodes[member].actor; at--)
            p->members[at] = p->members[at - 1];
        p->members[at] = member;
    }
}

/* members[from, to) are one person. */
static void make_person(Persons *p, uint32_t from, uint32_t to)
{
    sort_members(p, from, to);
    const uint32_t person = p->nodes[p->members[from]].actor;
    for (uint32_t i = from; i < to; i++) {
        Node *n = &p->nodes[p->members[i]];
        n->next = p->members[i + 1 < to ? i + 1 : from];
        if (n->person != person)
            n->ordinal = n->actor == person ? 0 : join(p, person, n->actor);
        n->person = person;
    }
}

/* Who the members are now that links have changed. */
static void regroup(Persons *p)
{
    for (uint32_t from = 0, to = 0; from < p->member_count; from = to) {
        to = reach(p, from);
        make_person(p, from, to);
    }
}

/* ---- changes ------------------------------------------------------------------------------------- */

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Whether b can be reached from a, both nodes, by other links than their own. */
static bool hang_together(const Persons *p, uint32_t a, uint32_t b)
{
    uint32_t reached[PERSONS_ACTORS_MAX] = {a}, count = 1;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t half = p->nodes[reached[i]].edges; half != NONE;
             half = p->halves[half].next) {
            const uint32_t to = p->halves[half].to;
            uint32_t at = 0;
            if (to == b && reached[i] == a)
                continue;
            while (at < count && reached[at] != to)
                at++;
            if (to == b)
                return true;
            if (at == count)
                reached[count++] = to;
        }
    return false;
}

/* They are linked, and nothing else holds them together. */
static bool would_split(const Persons *p, uint32_t a, uint32_t b)
{
    if (find_node(p, a) == NULL || find_node(p, b) == NULL)
        return false;
    const uint32_t from = p->node_of[a], to = p->node_of[b];
    return find_half(p, from, to) != NONE && !hang_together(p, from, to);
}

uint32_t persons_moves(const Persons *p, PersonsChange c)
{
    const uint32_t a = persons_of(p, c.a), b = c.kind == PERSONS_ERASE ? 0 : persons_of(p, c.b);
    if (c.kind == PERSONS_ERASE)
        return a;
    if (c.kind == PERSONS_UNLINK)
        return would_split(p, c.a, c.b) ? a : 0;
    return a == b || a == 0 || b == 0 ? 0 : a ^ b ^ smaller(a, b);
}

/* They are two persons, small enough to be one. */
static bool has_room(const Persons *p, uint32_t a, uint32_t b)
{
    const uint32_t low = smaller(p->nodes[a].person, p->nodes[b].person);
    return count_actors(p, a) + count_actors(p, b) <= PERSONS_ACTORS_MAX &&
           p->nodes[p->node_of[low]].joined_count + PERSONS_ACTORS_MAX <= PERSONS_ORDINALS_MAX;
}

/* The three say whether anything changed; false with *full: it must not. */
static bool link_actors(Persons *p, uint32_t a, uint32_t b, bool *full)
{
    const Node *x = &p->nodes[a], *y = &p->nodes[b];
    const bool apart = x->person != y->person;
    if (a == b || x->person == 0 || y->person == 0 || find_half(p, a, b) != NONE)
        return false;
    *full = p->links >= p->links_max || (apart && !has_room(p, a, b));
    if (*full)
        return false;
    if (apart) {
        add_members(p, a);
        add_members(p, b);
    }
    add_link(p, a, b);
    return true;
}

static bool unlink_actors(Persons *p, uint32_t a, uint32_t b)
{
    const uint32_t half = find_half(p, a, b);
    if (half == NONE)
        return false;
    add_members(p, a);
    remove_link(p, a, half);
    return true;
}

static bool erase_actor(Persons *p, uint32_t a)
{
    if (p->nodes[a].person == 0)
        return false;
    while (p->nodes[a].edges != NONE)
        remove_link(p, a, p->nodes[a].edges);
    for (uint32_t at = p->nodes[a].next; at != a; at = p->nodes[at].next)
        p->members[p->member_count++] = at;
    p->nodes[a].person = 0;
    p->nodes[a].next = a;
    p->erased++;
    return true;
}

static void keep_change(Persons *p, PersonsChange change)
{
    p->changes = grown(p->changes, &p->change_cap, p->change_count + 1, sizeof *p->changes);
    p->changes[p->change_count++] = change;
}

static void set_gone(Persons *p, uint32_t number)
{
    moved_set_gone(p->moved, number, !persons_is_person(p, number));
}

/* Whose rows were moved, and which numbers are persons now. */
static void move_on(Persons *p, uint32_t moves, uint32_t a)
{
    p->moved = moved_next(p->moved, moves);
    for (uint32_t i = 0; i < p->member_count; i++)
        set_gone(p, p->nodes[p->members[i]].actor);
    set_gone(p, a);
}

bool persons_change(Persons *p, PersonsChange c)
{
    const uint32_t moves = persons_moves(p, c);
    const uint32_t a = node_for(p, c.a);
    const uint32_t b = c.kind == PERSONS_ERASE ? NONE : node_for(p, c.b);
    bool full = false, changed = false;
    p->member_count = 0;
    if (c.kind == PERSONS_ERASE)
        changed = erase_actor(p, a);
    else if (c.kind == PERSONS_UNLINK)
        changed = unlink_actors(p, a, b);
    else
        changed = link_actors(p, a, b, &full);
    regroup(p);
    if (changed)
        keep_change(p, c);
    if (changed && moves != 0)
        move_on(p, moves, c.a);
    return !full;
}

uint32_t persons_erased(const Persons *p)
{
    return p->erased;
}

static bool is_erased(const Persons *p, uint32_t actor)
{
    return persons_of(p, actor) == 0;
}

/* Whoever joined a person stood under its number. */
void persons_mark_erased(const Persons *p, uint32_t count, uint64_t *bits)
{
    for (uint32_t i = 1; i < p->node_count; i++) {
        const Node *n = &p->nodes[i];
        bool stood = n->person == 0;
        for (uint32_t j = 0; j < n->joined_count && !stood; j++)
            stood = is_erased(p, n->joined[j]);
        if (stood && n->actor < count)
            bits[n->actor / 64] |= UINT64_C(1) << (n->actor & 63);
    }
}

Moved *persons_moved(const Persons *p)
{
    return p->moved;
}

void persons_know_dead(Persons *p, DeadRows **known, uint32_t count)
{
    p->moved = moved_know(p->moved, known, count);
}

const PersonsChange *persons_new_changes(const Persons *p, uint32_t *count)
{
    *count = p->change_count;
    return p->changes;
}

void persons_forget_new(Persons *p)
{
    p->change_count = 0;
}
