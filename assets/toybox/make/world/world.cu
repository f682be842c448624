/** @file The world of Toybox: clay toys in small scenes, drawn by marching a signed distance field. One source for two compilers: nvcc (one thread a
 *  pixel) and g++ (`-x c++`, OpenMP). World axes: x right, y up, z towards the camera; the ground is y = 0; a toy is about 1.2 units high.
 *
 *  prepare  one Frame for each (clip, frame): pose, camera, light, palette and props, from the three vectors that describe a clip
 *  draw     one pixel of one Frame: bounded march for the toy, analytic props, ground and backdrop
 *
 *  Distance functions follow Inigo Quilez, "Distance functions" (iquilezles.org). */
#include <math.h>
#include <stdint.h>
#ifdef __CUDACC__
#include <cuda_runtime.h>
#define HD __host__ __device__ __forceinline__
#define HDN __host__ __device__ __noinline__
#else
#define HD static inline
#define HDN static
#endif

// ---------------------------------------------------------------- vectors
struct V {
  float x, y, z;
};
HD V v3(float x, float y, float z) { V r; r.x = x; r.y = y; r.z = z; return r; }
HD V operator+(V a, V b) { return v3(a.x + b.x, a.y + b.y, a.z + b.z); }
HD V operator-(V a, V b) { return v3(a.x - b.x, a.y - b.y, a.z - b.z); }
HD V operator*(V a, V b) { return v3(a.x * b.x, a.y * b.y, a.z * b.z); }
HD V operator*(V a, float s) { return v3(a.x * s, a.y * s, a.z * s); }
HD V operator*(float s, V a) { return a * s; }
HD float dot(V a, V b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
HD V cross(V a, V b) { return v3(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x); }
HD float lo(float a, float b) { return a < b ? a : b; }
HD float hi(float a, float b) { return a > b ? a : b; }
HD float sat(float a) { return lo(hi(a, 0.f), 1.f); }
HD float clampf(float a, float l, float h) { return lo(hi(a, l), h); }
HD float len2(float a, float b) { return sqrtf(a * a + b * b); }
HD float len(V a) { return sqrtf(dot(a, a)); }
HD V norm(V a) { return a * (1.f / sqrtf(hi(dot(a, a), 1e-12f))); }
HD float mixf(float a, float b, float t) { return a + (b - a) * t; }
HD V mixv(V a, V b, float t) { return a + (b - a) * t; }
HD float smooth(float a, float b, float x) { float t = sat((x - a) / (b - a)); return t * t * (3.f - 2.f * t); }
HD float fract(float x) { return x - floorf(x); }
HD float smin(float a, float b, float k) { float h = hi(k - fabsf(a - b), 0.f) / k; return lo(a, b) - h * h * k * .25f; }
HD uint32_t mixbits(uint32_t x) { x ^= x >> 16; x *= 0x7feb352dU; x ^= x >> 15; x *= 0x846ca68bU; x ^= x >> 16; return x; }
HD float hash2(int x, int y) { return (float)(mixbits((uint32_t)x * 0x9E3779B1U + (uint32_t)y * 0x85EBCA77U + 0x3C6EF372U) >> 8) * (1.f / 16777216.f); }
HD float noise(float x, float y) {
  float fx = floorf(x), fy = floorf(y), u = x - fx, w = y - fy;
  int ix = (int)fx, iy = (int)fy;
  u = u * u * (3.f - 2.f * u); w = w * w * (3.f - 2.f * w);
  return mixf(mixf(hash2(ix, iy), hash2(ix + 1, iy), u), mixf(hash2(ix, iy + 1), hash2(ix + 1, iy + 1), u), w);
}
HD V rgb(uint32_t hex) { // sRGB to linear
  return v3(powf((float)((hex >> 16) & 255) / 255.f, 2.2f), powf((float)((hex >> 8) & 255) / 255.f, 2.2f), powf((float)(hex & 255) / 255.f, 2.2f));
}
HD float luma(V c) { return .3f * c.x + .59f * c.y + .11f * c.z; }

// ---------------------------------------------------------------- what a clip is made of (the order is world.py's)
enum { BODY, HEIGHT, WIDTH, PATTERN, PATTERN_FREQ, PATTERN_PHASE, PATTERN_TILT, C1R, C1G, C1B, C2R, C2G, C2B, C3R, C3G, C3B, EYE_STYLE, EYE_SIZE, EYE_GAP, EYE_HEIGHT,
       PUPIL, IRIS, LID, MOUTH, MOUTH_SIZE, CHEEKS, EARS, EAR_SIZE, EAR_GAP, ARMS, ARM_LENGTH, FEET, FOOT_SIZE, TAIL, BELLY, BELLY_SIZE, ACCESSORY, GLOSS, DETAIL1, DETAIL2, SUBJECT };
enum { YAW, PLACE_X, PLACE_Z, LIGHT_AZIMUTH, LIGHT_HEIGHT, LIGHT_WARMTH, LAYOUT, TINT, CAMERA_HEIGHT, CAMERA_AZIMUTH, PHASE, AMPLITUDE, TURN, ARM_L, ARM_R, LEAN, SQUASH, CLOSENESS, STEP, EXTRA, SETUP };
enum { ROUND, PEAR, BEAN, BOX, CONE, STAR, SNOWMAN, CAPSULE, BIGHEAD, DRUM, GHOST, ACORN };
enum { PLAIN, STRIPES, UPRIGHT, DOTS, TWOTONE, PATCHES, HALVES, CHECKS };
enum { NO_EARS, ROUND_EARS, CAT_EARS, RABBIT_EARS, HORNS, ANTENNAE, CREST, FLOPPY_EARS, SPROUT };
enum { SMILE, OPEN, BEAK, MUZZLE, CAT_MOUTH };
enum { BARE, SCARF, PARTY_HAT, BOW, BOW_TIE, BEANIE };
enum { MEADOW, BEACH, SNOW, CITY, ROOM, DESERT, UNDERSEA, MOON, STUDIO }; // from STUDIO on: plain backdrops
enum { LEFT, RIGHT, HOP, SPIN, CLOSER, AWAY, SWAY, STRETCH, CIRCLE, BOWS };
enum { STILL, PAN_LEFT, PAN_RIGHT, ZOOM_IN, ORBIT };
// parts of a toy
enum { P_BODY, P_EYE, P_EAR, P_TIP, P_ARM, P_FOOT, P_TAIL, P_WEAR, P_WEAR2, P_NOSE };

struct Prop {
  V at, size, a, b;
  int kind, paint;
  float yaw, blob; // blob: radius of its soft shadow on the ground
};
enum { ELLIPSOID, FRUSTUM, SLAB };
enum { MATT, SNOWY, SEGMENTS, GLOW, BANDS };
#define PROPS 22

struct Frame {
  // camera
  V eye, right, up, ahead;
  float lens;
  // toy: world = pos + R * (stretch * local)
  V pos, r0, r1, r2;
  float wide, tall, shrink, bendX, bendZ, boundR;
  V bound, boxLo, boxHi; // the box is in the toy's own space
  // toy's shape, in its own space
  int body, pattern, eyeStyle, mouth, ears, arms, feet, tail, belly, wear, cheeks;
  float a0, a1, a2, a3, a4, cy, girth;
  float freq, phase, cosT, sinT;
  V c1, c2, c3, iris;
  V eyeAt, look, glint;
  float eyeR, pupil, lid;
  float mouthY, mouthZ, mouthS, headW, faceY;
  V earAt; float earS, earC, earSn;
  V armAt; float armLen, armR, armLx, armLy, armRx, armRy, armZL, armZR;
  V footAt; float footS, liftL, liftR, stepL, stepR, legTop;
  V tailAt; float bellyY, bellyW, bellyH, neckY, topY, gloss;
  V wearAt;
  // light and scene
  V sun, rim, key, fill, bounce, fog;
  float fogginess, exposure;
  int scene, props, fine;
  float seed, time;
  V pal[10];
  Prop prop[PROPS];
  // where the toy is on the picture, in parts of its height: centre x, y and the toy's height
  float onX, onY, onH;
};

// ---------------------------------------------------------------- distance functions
HD float ball(V p, V c, float r) { return len(p - c) - r; }
HD float ellipsoid(V p, V r) {
  V q = v3(p.x / r.x, p.y / r.y, p.z / r.z), s = v3(q.x / r.x, q.y / r.y, q.z / r.z);
  float k0 = len(q), k1 = len(s);
  return k0 * (k0 - 1.f) / hi(k1, 1e-4f);
}
HD float rod(V p, V a, V b, float ra, float rb) { // a capsule whose radius changes along the way
  V pa = p - a, ba = b - a;
  float h = sat(dot(pa, ba) / hi(dot(ba, ba), 1e-6f));
  return len(pa - ba * h) - mixf(ra, rb, h);
}
HD float roundCone(V p, float r1, float r2, float h) {
  float b = (r1 - r2) / h, a = sqrtf(hi(1.f - b * b, 0.f)), qx = len2(p.x, p.z), k = a * p.y - b * qx;
  if (k < 0.f) return len2(qx, p.y) - r1;
  if (k > a * h) return len2(qx, p.y - h) - r2;
  return a * qx + b * p.y - r1;
}
HD float roundBox(V p, float x, float y, float z, float r) {
  float qx = fabsf(p.x) - x + r, qy = fabsf(p.y) - y + r, qz = fabsf(p.z) - z + r;
  V o = v3(hi(qx, 0.f), hi(qy, 0.f), hi(qz, 0.f));
  return len(o) + lo(hi(qx, hi(qy, qz)), 0.f) - r;
}
HD float star5(float x, float y, float r, float rf) {
  const float k1x = .809016994f, k1y = -.587785252f;
  x = fabsf(x);
  float d = 2.f * hi(k1x * x + k1y * y, 0.f); x -= d * k1x; y -= d * k1y;
  d = 2.f * hi(-k1x * x + k1y * y, 0.f); x += d * k1x; y -= d * k1y;
  x = fabsf(x); y -= r;
  float bx = rf * .587785252f, by = rf * .809016994f - 1.f, h = clampf((x * bx + y * by) / (bx * bx + by * by), 0.f, r);
  float ex = x - bx * h, ey = y - by * h, s = y * bx - x * by;
  return len2(ex, ey) * (s > 0.f ? 1.f : -1.f);
}

HD float bodyDistance(const Frame &f, V p) {
  p.y -= f.cy;
  switch (f.body) {
  case ROUND: return ellipsoid(p, v3(f.a0, f.a1, f.a2));
  case PEAR: case CONE: case ACORN: p.y += f.a2; return roundCone(p, f.a0, f.a1, f.a3);
  case BEAN: p.x -= f.a2 * (p.y * p.y * 4.f - .5f); return .9f * rod(p, v3(0, -f.a1, 0), v3(0, f.a1, 0), f.a0, f.a0 * f.a3);
  case BOX: return roundBox(p, f.a0, f.a1, f.a2, f.a3);
  case STAR: {
    float d = star5(p.x, p.y, f.a0, f.a2) - f.a3, z = fabsf(p.z) - f.a1 * (1.f - .5f * sat((p.x * p.x + p.y * p.y) * 3.f)), r = .11f;
    float ox = hi(d + r, 0.f), oz = hi(z + r, 0.f);
    return .85f * (len2(ox, oz) + lo(hi(d + r, z + r), 0.f) - r);
  }
  case SNOWMAN: return smin(ellipsoid(p - v3(0, -f.a2, 0), v3(f.a0, f.a0 * .9f, f.a0 * .95f)), ball(p, v3(0, f.a3, 0), f.a1), .08f);
  case CAPSULE: return rod(p, v3(0, -f.a1, 0), v3(0, f.a1, 0), f.a0, f.a0);
  case BIGHEAD: return smin(ellipsoid(p - v3(0, f.a3, 0), v3(f.a0, f.a1, f.a1 * 1.02f)), ellipsoid(p - v3(0, -f.a2, 0), v3(f.a4, f.a4 * 1.05f, f.a4 * .92f)), .07f);
  case DRUM: {
    float r = f.a2, dx = len2(p.x, p.z) - f.a0 + r, dy = fabsf(p.y) - f.a1 + r;
    return len2(hi(dx, 0.f), hi(dy, 0.f)) + lo(hi(dx, dy), 0.f) - r;
  }
  default: { // GHOST: a dome over a wavy hem
    float flare = 1.f - .22f * sat(-p.y * 1.3f + .1f), q = len2(p.x, p.z) * flare, top = len2(q, hi(p.y - f.a1, 0.f)) - f.a0;
    float hem = -(p.y + f.a2 + .045f * sinf(p.x * 15.f) * (.6f + .4f * cosf(p.z * 11.f))), r = .06f;
    float ox = hi(top + r, 0.f), oy = hi(hem + r, 0.f);
    return .85f * (len2(ox, oy) + lo(hi(top + r, hem + r), 0.f) - r);
  }
  }
}

HD void nearer(float d, int part, float &best, int &id) {
  if (d < best) { best = d; id = part; }
}

/** Distance to the toy in its own space; the nearest part in `id`. Left and right parts share one evaluation by mirroring x. */
HD float toy(const Frame &f, V p, int &id) {
  p.x -= f.bendX * p.y * p.y; p.z -= f.bendZ * p.y * p.y;
  float body = bodyDistance(f, p), best = body, sx = fabsf(p.x);
  bool left = p.x < 0.f;
  V m = v3(sx, p.y, p.z);
  id = P_BODY;
  // feet
  if (f.feet) {
    float lift = left ? f.liftL : f.liftR, step = left ? f.stepL : f.stepR;
    V c = v3(f.footAt.x, f.footAt.y + lift, f.footAt.z + step);
    float d = ellipsoid(m - c, v3(f.footS, f.footS * .62f, f.footS * 1.35f));
    if (f.feet == 2) d = smin(d, rod(m, c, v3(f.footAt.x * .9f, f.legTop, 0.f), f.footS * .62f, f.footS * .6f), .04f);
    nearer(d, P_FOOT, best, id);
  }
  if (f.arms) {
    V a = f.armAt, d = v3(left ? f.armLx : f.armRx, left ? f.armLy : f.armRy, left ? f.armZL : f.armZR), b = a + d * f.armLen;
    float r;
    if (f.arms == 2) { V q = m - a; float u = dot(q, d), w = q.y * d.x - q.x * d.y; r = ellipsoid(v3(u - f.armLen * .5f, w, q.z), v3(f.armLen * .62f, f.armR * 1.9f, f.armR * .75f)); }
    else if (f.arms == 3) r = lo(rod(m, a, b, f.armR * .55f, f.armR * .5f), ball(m, b, f.armR * 1.15f));
    else r = rod(m, a, b, f.armR, f.armR * 1.05f);
    if (r < best) id = P_ARM;
    best = smin(best, r, .05f);
  }
  if (f.ears) {
    V q = m - f.earAt;
    float u = q.x * f.earC - q.y * f.earSn, w = q.x * f.earSn + q.y * f.earC, s = f.earS, d = 9.f, tip = 9.f;
    switch (f.ears) {
    case ROUND_EARS: d = ellipsoid(v3(u, w - s * .6f, q.z), v3(s, s, s * .5f)); break;
    case CAT_EARS: d = .8f * (rod(v3(u, w, q.z * 1.7f), v3(0, -.02f, 0), v3(0, s * 2.f, 0), s * .98f, s * .14f)); break;
    case RABBIT_EARS: d = ellipsoid(v3(u, w - s * 1.9f, q.z), v3(s * .72f, s * 2.3f, s * .42f)); break;
    case HORNS: d = rod(v3(u + w * w * 1.1f, w, q.z), v3(0, -.03f, 0), v3(0, s * 2.1f, 0), s * .62f, s * .13f) * .85f; break;
    case ANTENNAE: d = rod(v3(u, w, q.z), v3(0, -.03f, 0), v3(0, s * 2.6f, 0), .028f, .022f); tip = ball(v3(u, w, q.z), v3(0, s * 2.8f, 0), s * .62f); break;
    case CREST: d = ellipsoid(v3(p.x, p.y - f.earAt.y, p.z + .06f), v3(.075f, s * 1.5f, s * 2.1f)); break;
    case FLOPPY_EARS: d = ellipsoid(v3(u, w + s * 1.1f, q.z), v3(s * .5f, s * 1.7f, s * .85f)); break;
    default: d = rod(m, v3(0, f.earAt.y - .05f, 0), v3(0, f.earAt.y + s * 1.1f, 0), .03f, .025f);
      tip = ellipsoid(v3((sx - s * .85f) * .88f + (p.y - f.earAt.y - s * 1.4f) * .47f, (p.y - f.earAt.y - s * 1.4f) * .88f - (sx - s * .85f) * .47f, p.z), v3(s * .95f, s * .26f, s * .5f));
    }
    if (d < best) id = P_EAR;
    best = smin(best, d, .03f);
    nearer(tip, P_TIP, best, id);
  }
  if (f.tail == 1) nearer(ball(p, f.tailAt, .13f), P_TAIL, best, id);
  else if (f.tail == 2) {
    V e = f.tailAt + v3(.3f, .02f, -.16f);
    float d = smin(rod(p, f.tailAt, e, .075f, .065f), rod(p, e, e + v3(.12f, .3f, 0.f), .065f, .075f), .06f);
    nearer(d, P_TAIL, best, id);
  }
  switch (f.wear) {
  case SCARF: {
    float d = len2(hi(body, 0.f), hi(fabsf(p.y - f.neckY) - .035f, 0.f)) - .06f;
    d = smin(d, rod(p, f.wearAt, f.wearAt + v3(.06f, -.24f, .05f), .055f, .075f), .04f);
    nearer(d, P_WEAR, best, id);
    break;
  }
  case PARTY_HAT: {
    V q = p - v3(0, f.topY - .05f, 0);
    nearer(.93f * rod(q, v3(0, 0, 0), v3(0, .42f, 0), .19f, .02f), P_WEAR, best, id);
    nearer(ball(q, v3(0, .45f, 0), .065f), P_WEAR2, best, id);
    break;
  }
  case BOW: case BOW_TIE: {
    V q = p - f.wearAt;
    float s = f.wear == BOW ? .15f : .13f, ax = fabsf(q.x);
    float d = .75f * rod(v3(ax, q.y, q.z * 1.3f), v3(.02f, 0, 0), v3(s, 0, 0), .03f, s * .68f);
    nearer(d, P_WEAR, best, id);
    nearer(ball(q, v3(0, 0, .02f), s * .42f), P_WEAR2, best, id);
    break;
  }
  case BEANIE: {
    float dy = f.neckY - p.y, r = .05f; // the body's own skin above a line, thickened
    float d = len2(hi(body, 0.f), hi(dy, 0.f)) - r, brim = len2(hi(body - .02f, 0.f), hi(fabsf(dy) - .03f, 0.f)) - .055f;
    nearer(d, P_WEAR, best, id);
    nearer(lo(brim, ball(p, v3(0, f.topY + .09f, 0), .1f)), P_WEAR2, best, id);
    break;
  }
  default: break;
  }
  if (f.mouth == BEAK) nearer(.9f * rod(v3(p.x * .8f, p.y * 1.15f, p.z), v3(0, f.mouthY * 1.15f, f.mouthZ - .04f), v3(0, f.mouthY * 1.15f - .02f, f.mouthZ + .17f * f.mouthS), .1f * f.mouthS, .02f), P_NOSE, best, id);
  else if (f.mouth == MUZZLE) {
    V q = p - v3(0, f.mouthY, f.mouthZ);
    nearer(ellipsoid(q, v3(.17f * f.mouthS, .12f * f.mouthS, .1f)), P_TIP, best, id);
    nearer(ellipsoid(q - v3(0, .055f * f.mouthS, .085f), v3(.065f, .045f, .045f)), P_NOSE, best, id);
  }
  nearer(ball(m, f.eyeAt, f.eyeR), P_EYE, best, id);
  return best;
}

// ---------------------------------------------------------------- the toy's paint
HD V bodyPaint(const Frame &f, V p) {
  float y = p.y - f.cy, k = 0.f, w = .12f;
  switch (f.pattern) {
  case STRIPES: k = smooth(-w, w, sinf((y * f.cosT + p.x * f.sinT) * f.freq * 2.2f + f.phase)); break;
  case UPRIGHT: k = smooth(-w, w, sinf(atan2f(p.x, p.z + .02f) * floorf(f.freq * .62f) + 1.5707963f)); break;
  case DOTS: {
    float n = floorf(f.freq * .75f), v = y * f.freq * .62f + f.phase, row = floorf(v), u = atan2f(p.x, p.z) * (n / 6.2831853f) * 1.5f + .5f * row;
    float du = fract(u) - .5f, dv = fract(v) - .5f;
    k = smooth(.07f, -.01f, len2(du, dv) - .29f);
    break;
  }
  case TWOTONE: k = smooth(.02f, -.02f, y * f.cosT + p.x * f.sinT + .035f * sinf(atan2f(p.x, p.z) * 6.f) - .03f); break;
  case PATCHES: {
    float q = f.freq * .75f;
    k = smooth(.12f, .3f, sinf(p.x * q + f.phase) * sinf(p.y * q * 1.1f + f.phase * 1.7f) + .6f * sinf(p.z * q * .9f + f.phase * 2.3f) * sinf(p.x * q * .8f - p.y * q * .6f + 1.f));
    break;
  }
  case HALVES: k = smooth(-.015f, .015f, p.x + .02f * sinf(y * 14.f)); break;
  case CHECKS: k = smooth(-.1f, .1f, sinf(atan2f(p.x, p.z) * floorf(f.freq * .5f) * 1.f + .8f) * sinf(y * f.freq * 1.6f + f.phase)); break;
  default: break;
  }
  V c = mixv(f.c1, f.c2, k);
  if (f.belly && p.z > 0.f) {
    float d = len2(p.x / f.bellyW, (p.y - f.bellyY) / f.bellyH);
    c = mixv(c, mixv(luma(f.c1) > .55f && f.belly == 1 ? f.c2 : f.c1, v3(.95f, .88f, .78f), .78f), smooth(1.04f, .96f, d));
  }
  if (p.z > 0.f) { // the face
    float ax = fabsf(p.x), s = f.mouthS, my = p.y - f.mouthY;
    if (f.cheeks) c = mixv(c, v3(.95f, .27f, .25f), .55f * smooth(.085f, .045f, len2(ax - (f.eyeAt.x + f.eyeR * .75f), (p.y - f.eyeAt.y + f.eyeR * 1.25f) * 1.25f)));
    V dark = luma(c) < .06f ? v3(.75f, .6f, .5f) : v3(.035f, .018f, .02f);
    if (f.mouth == SMILE) {
      float r = len2(p.x, my - .07f * s) - .125f * s;
      c = mixv(c, dark, smooth(.026f, .014f, fabsf(r)) * smooth(.0f, -.02f, my - .03f * s) );
    } else if (f.mouth == OPEN) {
      float d = len2(p.x / (.115f * s), my / ((my > 0.f ? .035f : .105f) * s));
      V inside = mixv(v3(.16f, .012f, .02f), v3(.85f, .16f, .18f), smooth(1.f, .8f, len2(p.x / (.08f * s), (my + .09f * s) / (.055f * s))));
      c = mixv(c, inside, smooth(1.06f, .94f, d));
    } else if (f.mouth == CAT_MOUTH) {
      float r = len2(ax - .06f * s, my) - .06f * s;
      c = mixv(c, dark, smooth(.024f, .012f, fabsf(r)) * smooth(.006f, -.006f, my));
      c = mixv(c, v3(.7f, .13f, .16f), smooth(.045f, .033f, len2(p.x, (my - .03f * s) * 1.3f)));
    }
  }
  return c;
}

/** Colour of the toy at a point of its surface (own space) and how glossy it is there. */
HD V paint(const Frame &f, V p, int id, float &gloss) {
  p.x -= f.bendX * p.y * p.y; p.z -= f.bendZ * p.y * p.y;
  gloss = f.gloss;
  V m = v3(fabsf(p.x), p.y, p.z);
  switch (id) {
  case P_EYE: {
    gloss = 1.f;
    V n = norm(m - f.eyeAt), l = f.look;
    if (p.x < 0.f) l.x = -l.x; // mirrored: both eyes look the same way
    V g = f.glint;
    if (p.x < 0.f) g.x = -g.x;
    float c = dot(n, l), shine = smooth(.955f, .975f, dot(n, norm(l + g))), small = smooth(.985f, .992f, dot(n, norm(l - g * .9f)));
    V col;
    if (f.eyeStyle == 1) col = v3(.012f, .01f, .012f);
    else {
      float r = f.pupil;
      col = mixv(v3(.92f, .91f, .88f), f.eyeStyle == 2 ? f.iris : v3(.015f, .012f, .014f), smooth(r - .03f, r + .03f, c));
      if (f.eyeStyle == 2) col = mixv(col, v3(.012f, .01f, .012f), smooth(-.03f, .03f, c - (r + (1.f - r) * .5f)));
    }
    if (f.lid > .05f) { float k = smooth(-.06f, .06f, n.y - (1.f - f.lid)); col = mixv(col, f.c1 * .82f, k); shine *= 1.f - k; }
    return mixv(col, v3(1.6f, 1.6f, 1.6f), sat(shine + .5f * small));
  }
  case P_EAR: {
    if (f.ears == HORNS) return mixv(v3(.82f, .68f, .45f), v3(.95f, .88f, .72f), .5f + .5f * sinf(p.y * 60.f));
    if (f.ears == ANTENNAE) return f.c1 * .6f;
    if (f.ears == CREST) return f.c3;
    if (f.ears == SPROUT) return v3(.16f, .38f, .07f);
    if (f.ears == FLOPPY_EARS) return f.pattern == PLAIN ? f.c1 * .62f : f.c2;
    V q = m - f.earAt;
    float u = q.x * f.earC - q.y * f.earSn, w = q.x * f.earSn + q.y * f.earC, s = f.earS, d;
    if (f.ears == ROUND_EARS) d = len2(u, w - s * .6f) / (s * .62f);
    else if (f.ears == CAT_EARS) d = hi(fabsf(u) / (s * .5f * hi(1.3f - w / (s * 1.6f), .01f)), fabsf(w - s * .75f) / (s * .95f));
    else d = len2(u / (s * .42f), (w - s * 1.9f) / (s * 1.75f));
    V inner = mixv(f.c2, v3(.95f, .45f, .42f), .6f);
    return mixv(f.c1, inner, q.z > 0.f ? smooth(1.08f, .92f, d) : 0.f);
  }
  case P_TIP:
    if (f.ears == SPROUT && p.y > f.earAt.y - .02f) return v3(.2f, .5f, .08f);
    if (f.mouth == MUZZLE && p.y < f.eyeAt.y + .02f) {
      float r = len2(fabsf(p.x) - .05f, p.y - f.mouthY + .0f) - .05f;
      return mixv(mixv(f.c2, v3(.95f, .9f, .82f), .75f), v3(.05f, .02f, .02f), smooth(.022f, .012f, fabsf(r)) * smooth(.0f, -.01f, p.y - f.mouthY));
    }
    return f.c3;
  case P_ARM: return mixv(bodyPaint(f, v3(p.x, p.y, -.3f)), f.c2, smooth(.55f, .7f, len(m - f.armAt) / f.armLen) * (f.arms == 3 ? 1.f : 0.f));
  case P_FOOT: return f.pattern == PLAIN ? f.c3 : f.c2;
  case P_TAIL: return f.tail == 1 ? mixv(f.c2, v3(.95f, .92f, .86f), .5f) : mixv(f.c1, f.c2, smooth(-.1f, .1f, sinf((p.x + p.y) * 26.f)));
  case P_WEAR: {
    if (f.wear == SCARF) return mixv(f.c3, mixv(f.c3, v3(.95f, .93f, .88f), .75f), smooth(-.15f, .15f, sinf(atan2f(p.x, p.z) * 14.f + p.y * 3.f)));
    if (f.wear == PARTY_HAT) return mixv(f.c3, v3(.95f, .92f, .85f), smooth(-.12f, .12f, sinf(p.y * 34.f + p.x * 16.f)));
    if (f.wear == BEANIE) return f.c3 * (.88f + .12f * sinf(atan2f(p.x, p.z) * 26.f));
    return f.c3;
  }
  case P_WEAR2: return f.wear == PARTY_HAT || f.wear == BEANIE ? mixv(f.c3, v3(.95f, .93f, .88f), .8f) : f.c3 * .62f;
  case P_NOSE: return f.mouth == BEAK ? v3(.95f, .42f, .045f) : v3(.05f, .025f, .025f);
  default: return bodyPaint(f, p);
  }
}

// ---------------------------------------------------------------- props, ground, backdrop
HD float propHit(const Prop &q, V o, V d, V &n) {
  V p = o - q.at;
  if (q.kind == ELLIPSOID) {
    V i = v3(1.f / q.size.x, 1.f / q.size.y, 1.f / q.size.z), a = p * i, b = d * i;
    float bb = dot(b, b), ab = dot(a, b), c = dot(a, a) - 1.f, h = ab * ab - bb * c;
    if (h < 0.f) return -1.f;
    float t = (-ab - sqrtf(h)) / bb;
    if (t < 0.f) return -1.f;
    n = norm((a + b * t) * i);
    return t;
  }
  if (q.kind == FRUSTUM) { // upright cone: radius size.x at its foot, size.z at its top, height size.y
    float k = (q.size.z - q.size.x) / q.size.y, r0 = q.size.x + k * p.y, rd = k * d.y;
    float a = d.x * d.x + d.z * d.z - rd * rd, b = p.x * d.x + p.z * d.z - r0 * rd, c = p.x * p.x + p.z * p.z - r0 * r0, h = b * b - a * c;
    float best = -1.f;
    if (h > 0.f) {
      float t = (-b - sqrtf(h)) / a, y = p.y + t * d.y;
      if (t > 0.f && y > 0.f && y < q.size.y) { best = t; V s = p + d * t; n = norm(v3(s.x, -k * len2(s.x, s.z), s.z)); }
    }
    float cap = d.y < 0.f ? q.size.y : 0.f, rc = d.y < 0.f ? q.size.z : q.size.x, t = (cap - p.y) / d.y, x = p.x + t * d.x, z = p.z + t * d.z;
    if (t > 0.f && x * x + z * z < rc * rc && (best < 0.f || t < best)) { best = t; n = v3(0, d.y < 0.f ? 1.f : -1.f, 0); }
    return best;
  }
  float c = cosf(q.yaw), s = sinf(q.yaw);
  V a = v3(c * p.x - s * p.z, p.y, s * p.x + c * p.z), b = v3(c * d.x - s * d.z, d.y, s * d.x + c * d.z), i = v3(1.f / b.x, 1.f / b.y, 1.f / b.z), m = a * i;
  V k = v3(fabsf(i.x) * q.size.x, fabsf(i.y) * q.size.y, fabsf(i.z) * q.size.z), t1 = v3(0, 0, 0) - m - k, t2 = v3(0, 0, 0) - m + k;
  float tn = hi(hi(t1.x, t1.y), t1.z), tf = lo(lo(t2.x, t2.y), t2.z);
  if (tn > tf || tn < 0.f) return -1.f;
  V l = tn == t1.x ? v3(b.x > 0.f ? -1.f : 1.f, 0, 0) : tn == t1.y ? v3(0, b.y > 0.f ? -1.f : 1.f, 0) : v3(0, 0, b.z > 0.f ? -1.f : 1.f);
  V e = a + b * tn; // round the look of the edges
  float sh = 14.f;
  l = norm(l + v3(powf(fabsf(e.x / q.size.x), sh) * (e.x > 0.f ? .8f : -.8f), powf(fabsf(e.y / q.size.y), sh) * (e.y > 0.f ? .8f : -.8f), powf(fabsf(e.z / q.size.z), sh) * (e.z > 0.f ? .8f : -.8f)));
  n = v3(c * l.x + s * l.z, l.y, -s * l.x + c * l.z);
  return tn;
}

/** A row of hills: height at x. */
HD float hills(float x, float seed, float amp, float freq) { return amp * (.55f + .3f * sinf(x * freq + seed) + .2f * sinf(x * freq * 2.17f + seed * 2.3f) + .08f * sinf(x * freq * 4.7f + seed * 5.1f)); }

/** One upright layer of the backdrop at depth z: where the ray meets it; false when it points the other way. */
HD bool layer(V o, V d, float z, float &x, float &y) {
  float t = (z - o.z) / lo(d.z, -1e-3f);
  x = o.x + d.x * t; y = o.y + d.y * t;
  return t > 0.f;
}

HD V backdrop(const Frame &f, V o, V d, float px) {
  float x, y, h = sat(d.y * 1.9f + .12f);
  float s = f.seed * 40.f;
  if (f.scene >= STUDIO) {
    float r = len2(d.x * 1.1f, d.y - .02f);
    return mixv(f.pal[1], f.pal[2], smooth(.05f, .55f, r));
  }
  if (f.scene == ROOM) {
    layer(o, d, -2.5f, x, y);
    V wall = mixv(f.pal[2], f.pal[3], smooth(-.1f, .1f, sinf(x * 9.f)) * .35f);
    wall = mixv(wall, f.pal[4], smooth(.9f + px * 3.f, .9f, y) );                                   // wainscot
    wall = wall * (1.f - .35f * smooth(.03f, .0f, fabsf(y - .9f) - .005f));
    if (y < .9f) wall = wall * (1.f - .12f * smooth(.03f, .0f, fabsf(fract(x * 1.4f) - .5f) - .01f));
    float wx = x - (f.seed < .5f ? -1.25f : 1.25f), wy = y - 1.75f;                                  // window
    float q = hi(fabsf(wx) - .62f, fabsf(wy) - .62f);
    V sky = mixv(v3(1.5f, 1.55f, 1.5f), v3(.65f, 1.05f, 1.5f), sat(wy * .9f + .5f));
    sky = mixv(sky, v3(.3f, .6f, .2f), smooth(.03f, -.03f, wy + .38f - .12f * sinf(wx * 5.f + s)));
    V frame = v3(.85f, .82f, .76f);
    sky = mixv(sky, frame, smooth(.045f, .03f, lo(fabsf(wx), fabsf(wy))));
    V c = mixv(wall, frame, smooth(.09f, .07f, q));
    c = mixv(c, sky, smooth(.01f, -.01f, q));
    float qx = x - (f.seed < .5f ? 1.2f : -1.2f), qy = y - 1.75f;                                    // picture
    float e = hi(fabsf(qx) - .42f, fabsf(qy) - .34f);
    V art = mixv(f.pal[5], f.pal[6], smooth(.02f, -.02f, qy + .05f - .1f * sinf(qx * 6.f + s)));
    art = mixv(art, f.pal[7], smooth(.12f, .1f, len2(qx - .15f, qy - .14f)));
    c = mixv(c, v3(.25f, .12f, .05f), smooth(.07f, .055f, e));
    return mixv(c, art, smooth(.01f, -.005f, e)) * (1.f - .25f * smooth(.5f, 0.f, y));
  }
  V c = mixv(f.pal[0], f.pal[1], h);
  if (f.scene == CITY || f.scene == MOON) { // stars
    float u = (d.x / -d.z) * 26.f, w = (d.y / -d.z) * 26.f;
    int iu = (int)floorf(u), iw = (int)floorf(w);
    float r = hash2(iu + (int)(f.seed * 99.f), iw), a = hash2(iu + 57, iw + 13);
    if (r > .72f) c = c + v3(.9f, .9f, 1.f) * (smooth(.2f, .0f, len2(fract(u) - .3f - .4f * a, fract(w) - .3f - .4f * fract(r * 29.f))) * (r - .6f) * 2.6f);
  }
  if (f.scene == MEADOW || f.scene == BEACH || f.scene == DESERT || f.scene == SNOW) { // sun glow and clouds
    layer(o, d, -30.f, x, y);
    float sx = (f.seed - .5f) * 11.f, sy = f.scene == DESERT ? 3.9f : 7.f, r = len2(x - sx, y - sy);
    c = c + f.pal[9] * (.55f * expf(-r * .28f));
    if (f.scene == DESERT) c = mixv(c, v3(2.f, 1.35f, .6f), smooth(1.75f, 1.6f, r));
    else if (f.scene != SNOW) {
      float k = 0.f;
      for (int i = 0; i < 3; i++) {
        float cx = fract(f.seed * 7.3f + i * .37f) * 20.f - 10.f, cy = 3.9f + 2.6f * fract(f.seed * 3.7f + i * .61f), u = x - cx, w = y - cy;
        k = hi(k, smooth(.25f, -.25f, lo(len2(u, w * 1.25f) - 1.15f, lo(len2(u - 1.3f, (w + .25f) * 1.3f) - .85f, len2(u + 1.25f, (w + .3f) * 1.3f) - .75f))) * smooth(-1.1f, .3f, w));
      }
      c = mixv(c, v3(1.02f, 1.03f, 1.06f), k * .9f);
    }
  }
  if (f.scene == CITY) { // moon, then three rows of houses
    layer(o, d, -30.f, x, y);
    float mx = (f.seed - .5f) * 10.f, r = len2(x - mx, y - 5.f);
    c = mixv(c + v3(.35f, .36f, .5f) * (.5f * expf(-r * .55f)), v3(1.5f, 1.42f, 1.15f), smooth(1.15f, 1.05f, r));
    for (int i = 0; i < 3; i++) {
      float z = -15.f + 4.2f * i, w = 1.9f - .3f * i;
      layer(o, d, z, x, y);
      float u = x / w + s + i * 3.3f;
      int cell = (int)floorf(u);
      float hgt = (1.2f + 2.f * hash2(cell, i + 7)) * (i == 2 ? .55f : i == 1 ? .8f : 1.f) + .25f;
      float in = fract(u) - .5f, e = smooth(px * 12.f, -px * 12.f, y - hgt) * smooth(.48f, .46f, fabsf(in));
      V wall = mixv(f.pal[3 + i], f.pal[2], .35f * hash2(cell, i));
      float gu = in * 3.f + .5f, gv = y * (1.5f + .25f * i);
      int iu = (int)floorf(gu), iv = (int)floorf(gv);
      float lit = hash2(cell * 7 + iu, iv + i * 31), pane = smooth(.36f, .28f, fabsf(fract(gu) - .5f)) * smooth(.36f, .28f, fabsf(fract(gv) - .5f));
      if (i > 0 && fabsf(in) < .46f) wall = mixv(wall, lit > .5f ? mixv(v3(1.5f, .85f, .28f), v3(1.3f, 1.1f, .7f), lit * 2.f - 1.f) * (.55f + .2f * i) : mixv(f.pal[2], wall, .55f), pane * (.5f + .25f * i));
      c = mixv(c, wall, e);
    }
    return c;
  }
  if (f.scene == MOON) { // the Earth, then grey hills
    layer(o, d, -30.f, x, y);
    float ex = (f.seed < .5f ? -4.8f : 4.8f) * (.75f + .4f * f.seed), u = x - ex, w = y - 4.9f, r = len2(u, w) / 1.75f;
    if (r < 1.05f) {
      float k = noise(u * 1.1f + s, w * 1.1f), cl = noise(u * 1.7f + 9.f, w * 3.1f + s);
      V e = mixv(v3(.05f, .2f, .65f), v3(.16f, .42f, .12f), smooth(.52f, .6f, k));
      e = mixv(e, v3(1, 1, 1), smooth(.55f, .75f, cl) * .85f) * (.25f + 1.1f * sat(.55f - .5f * (u * f.sun.x * -1.f + w * -.7f) / 1.75f));
      c = mixv(c, e, smooth(1.02f, .97f, r));
    }
    c = c + v3(.1f, .25f, .6f) * (.3f * expf(-hi(r - 1.f, 0.f) * 5.f) * (r > 1.f ? 1.f : 0.f));
  }
  if (f.scene == UNDERSEA) {
    layer(o, d, -9.f, x, y);
    float ray = .5f + .5f * sinf((x - y * .35f) * 1.7f + s), ray2 = .5f + .5f * sinf((x - y * .4f) * 3.1f + s * 1.7f);
    c = c + f.pal[9] * (ray * ray2 * .5f * smooth(.3f, 5.f, y));
  }
  // two rows of hills, each a felt cut-out with a soft light at its edge
  for (int i = 0; i < 2; i++) {
    float z = i == 0 ? -17.f : -9.5f, amp, fr, base = 0.f;
    layer(o, d, z, x, y);
    float hgt;
    if (f.scene == DESERT && i == 0) { // mesas
      float u = sinf(x * .42f + s) + .4f * sinf(x * .9f + s * 1.3f);
      hgt = .9f + 2.3f * smooth(.2f, .45f, u) + .7f * smooth(.8f, .95f, u);
    } else {
      amp = f.scene == BEACH ? (i == 0 ? 1.5f : 0.f) : f.scene == SNOW ? (i == 0 ? 4.4f : 1.9f) : f.scene == UNDERSEA ? (i == 0 ? 3.4f : 2.f) : i == 0 ? 2.9f : 1.5f;
      fr = i == 0 ? .38f : .55f;
      if (f.scene == BEACH) base = i == 0 ? -.75f : -9.f;
      hgt = base + hills(x, s + i * 4.f, amp, fr);
      if (f.scene == SNOW && i == 0) hgt = .8f + 3.6f * fabsf(fract(x * .11f + s) - .5f) * 2.f + .7f * fabsf(fract(x * .31f + s) - .5f);
    }
    V col = f.pal[3 + i];
    col = mixv(col, mixv(col, f.fog, .55f), smooth(hgt, 0.f, y)) + f.key * (f.scene == UNDERSEA ? .02f : .05f) * expf(-hi(hgt - y, 0.f) * 3.f);
    if (f.scene == SNOW && i == 0) col = mixv(col, f.pal[5], smooth(.75f, .55f, hgt == 0.f ? 0.f : y / hgt + .05f * sinf(x * 5.f)));
    if (f.scene == DESERT && i == 0) col = col * (.88f + .12f * sinf(y * 7.f));
    c = mixv(c, col, smooth(px * 11.f, -px * 11.f, y - hgt));
  }
  return c;
}

/** Albedo of the ground at (x, z); `self` is light it gives off itself. */
HD V ground(const Frame &f, float x, float z, float far, V &self) {
  float n = noise(x * 1.3f + f.seed * 31.f, z * 1.3f), s = f.seed * 40.f;
  self = v3(0, 0, 0);
  V c = mixv(f.pal[6], f.pal[7], n);
  float detail = 1.f / (1.f + far * far * .02f);
  switch (f.scene) {
  case MEADOW: {
    c = c * (.9f + .2f * detail * noise(x * 16.f, z * 7.f));
    float u = x * 2.2f + s, w = z * 2.2f;
    int iu = (int)floorf(u), iw = (int)floorf(w);
    float r = hash2(iu, iw), a = hash2(iu + 31, iw - 7);
    if (r > .5f) {
      float q = len2(fract(u) - .25f - .5f * a, fract(w) - .25f - .5f * fract(r * 17.f)), size = .1f + .06f * a;
      V fl = a < .35f ? v3(.95f, .93f, .9f) : a < .68f ? v3(.95f, .62f, .06f) : v3(.9f, .24f, .38f);
      c = mixv(c, fl, smooth(size, size * .7f, q));
      c = mixv(c, v3(.95f, .7f, .1f), a < .35f ? smooth(size * .45f, size * .3f, q) : 0.f);
    }
    break;
  }
  case BEACH: {
    c = c * (.96f + .05f * sinf(z * 13.f + 3.f * n + x * 1.5f) * detail);
    float shore = -1.75f + .16f * sinf(x * 1.2f + s) + .07f * sinf(x * 2.9f + s), w = shore - z; // > 0: water
    c = c * (1.f - .3f * smooth(-.3f, -.05f, w));
    if (w > 0.f) {
      V sea = mixv(f.pal[4], f.pal[5], smooth(0.f, 5.5f, w));
      sea = sea * (.93f + .13f * sinf(z * 7.f / (1.f + w * .22f) + 1.4f * noise(x * 1.1f + s, z * 1.6f) * 4.f));
      c = mixv(c, sea, smooth(0.f, .12f, w));
    }
    c = mixv(c, v3(.97f, .97f, .95f), smooth(.1f, .03f, fabsf(w - .04f)) + .6f * smooth(.07f, .02f, fabsf(w - .48f - .05f * sinf(x * 4.f + s))));
    break;
  }
  case SNOW: c = mixv(f.pal[6], f.pal[7], smooth(.2f, .8f, noise(x * .8f + s, z * 1.7f))); break;
  case CITY: {
    float side = fabsf(z + 2.2f) - 1.05f; // a road behind, pavement in front
    float tile = lo(fabsf(fract(x * 1.25f + .5f) - .5f), fabsf(fract(z * 1.25f) - .5f));
    V pave = mixv(f.pal[6], f.pal[7], hash2((int)floorf(x * 1.25f + .5f), (int)floorf(z * 1.25f))) * (1.f - .35f * smooth(.035f, .01f, tile) * detail);
    V road = f.pal[8] * (.9f + .2f * n);
    road = mixv(road, v3(.75f, .62f, .25f), smooth(.06f, .04f, fabsf(z + 2.2f)) * smooth(.28f, .25f, fabsf(fract(x * .6f) - .5f)));
    c = mixv(road, pave, smooth(-.02f, .02f, side));
    c = mixv(c, pave * 1.5f, smooth(.06f, .04f, fabsf(side - .03f)));
    for (int i = 0; i < f.props; i++)
      if (f.prop[i].paint == GLOW) { float dx = x - f.prop[i].at.x, dz = z - f.prop[i].at.z; self = self + f.prop[i].a * (.075f / (1.f + 2.2f * (dx * dx + dz * dz))); }
    self = self * c * 6.f;
    break;
  }
  case ROOM: {
    float u = x * 2.6f;
    int board = (int)floorf(u);
    float v = z * .55f + hash2(board, 3) * 5.f, tint = hash2(board, (int)floorf(v) + 11);
    c = mixv(f.pal[8], f.pal[9], tint) * (.93f + .1f * noise(x * 22.f, z * 1.8f + tint * 9.f));
    c = c * (1.f - .45f * detail * hi(smooth(.06f, .02f, fabsf(fract(u) - .5f) > .44f ? .5f - fabsf(fract(u) - .5f) : 1.f), smooth(.02f, .005f, .5f - fabsf(fract(v) - .5f))));
    float r = len2(x, (z + .1f) * 1.05f);
    if (r < 1.45f) {
      V rug = r > 1.3f ? f.pal[7] : r > 1.12f ? f.pal[6] : r > 1.0f ? f.pal[7] : f.pal[5];
      c = mixv(c, rug * (.92f + .1f * noise(x * 24.f, z * 24.f)), smooth(1.43f, 1.41f, r));
    }
    break;
  }
  case DESERT: c = c * (.93f + .09f * sinf(z * 9.f + 5.f * noise(x * .7f + s, z * .7f)) * detail); break;
  case UNDERSEA: {
    float k = sinf(x * 4.1f + 2.3f * sinf(z * 3.1f + s + f.time * 2.f)) * sinf(z * 4.7f + 2.1f * sinf(x * 2.7f - s + f.time * 1.6f));
    self = f.key * c * (.32f * smooth(.45f, .0f, fabsf(k)) * detail);
    c = c * (.95f + .06f * sinf(z * 10.f + 3.f * n));
    break;
  }
  case MOON: {
    float u = x * .95f + s, w = z * .95f;
    int iu = (int)floorf(u), iw = (int)floorf(w);
    float r = hash2(iu, iw), a = hash2(iu + 5, iw + 3);
    float dx = fract(u) - .5f - .22f * (a - .5f), dz = fract(w) - .5f - .22f * (r - .5f), q = len2(dx, dz) / (.16f + .2f * a);
    float lit = (dx * f.sun.x + dz * f.sun.z) / hi(len2(dx, dz), 1e-3f);
    if (r > .3f) c = c * (1.f - .42f * smooth(1.f, .75f, q) * (.6f + .55f * lit) + .45f * smooth(.22f, .05f, fabsf(q - 1.05f)) * (.25f - lit * .5f + .4f));
    c = c * (.9f + .2f * noise(x * 9.f, z * 9.f));
    break;
  }
  default: c = f.pal[0];
  }
  return c;
}

// ---------------------------------------------------------------- light
/** Where a ray of the toy's own space is inside its box: t from `in` to `out`; false when it passes by. */
HD bool inBox(const Frame &f, V o, V d, float &in, float &out) {
  V i = v3(1.f / (fabsf(d.x) < 1e-6f ? 1e-6f : d.x), 1.f / (fabsf(d.y) < 1e-6f ? 1e-6f : d.y), 1.f / (fabsf(d.z) < 1e-6f ? 1e-6f : d.z)), a = (f.boxLo - o) * i, b = (f.boxHi - o) * i;
  in = hi(hi(lo(a.x, b.x), lo(a.y, b.y)), hi(lo(a.z, b.z), 0.f));
  out = lo(lo(hi(a.x, b.x), hi(a.y, b.y)), hi(a.z, b.z));
  return in < out;
}

/** Share of the sun that reaches a point: a short march through the toy; `near`: distance from the point to the toy where that is known, else 1. */
HDN float shadow(const Frame &f, V wp, int steps, float soft, float &near) {
  V w = wp - f.pos;
  float iw = 1.f / f.wide, it = 1.f / f.tall, res = 1.f, t, end;
  V o = v3(dot(w, f.r0) * iw, dot(w, f.r1) * it, dot(w, f.r2) * iw), d = v3(dot(f.sun, f.r0) * iw, dot(f.sun, f.r1) * it, dot(f.sun, f.r2) * iw);
  bool probe = o.x > f.boxLo.x - .3f && o.x < f.boxHi.x + .3f && o.y < f.boxHi.y && o.z > f.boxLo.z - .3f && o.z < f.boxHi.z + .3f, clear = !inBox(f, o, d, t, end);
  near = 1.f;
  if (clear && !probe) return 1.f;
  float from = hi(t, .03f);
  if (clear) end = 1e-4f;
  if (probe) t = 0.f;
  else t = from;
#pragma unroll 1
  for (int i = 0; i <= steps && t < end; i++) {
    int id;
    float s = toy(f, o + d * t, id) * f.shrink;
    if (i == 0 && probe) { near = s; t = clear ? end : from; continue; }
    res = lo(res, .5f + .5f * soft * s / t);
    if (res < 0.f) break;
    t += clampf(s, .035f, .22f);
  }
  res = sat(res);
  return res * res * (3.f - 2.f * res);
}

/** Straight up to .58, then a soft shoulder: colours stay lively and nothing clips hard. */
HD float shoulder(float x) { return x < .58f ? x : .58f + .42f * (1.f - expf((.58f - x) * (1.f / .42f))); }
HD V tone(V c, float e) { return v3(shoulder(c.x * e), shoulder(c.y * e), shoulder(c.z * e)); }

HD V surface(const Frame &f, V albedo, V n, V view, float sun, float ao, float gloss, float soft) {
  float ndl = dot(n, f.sun), wrap = sat((ndl + soft) / (1.f + soft)), up = .5f + .5f * n.y;
  V warm = mixv(v3(1, 1, 1), mixv(v3(1.f, .82f, .7f), albedo, .35f), soft * 1.4f * smooth(.55f, 0.f, wrap)); // light that went through the clay
  V c = albedo * (f.key * warm * (wrap * sun) + (f.fill * up + f.bounce * (1.f - up)) * ao);
  float fres = sat(1.f + dot(n, view)), f2 = fres * fres;
  c = c + (f.fill * .35f + f.key * .06f) * (f2 * fres * ao * (.4f + .6f * up)) * (.35f + .65f * luma(albedo) + .25f * gloss);
  float back = sat(dot(n, f.rim)); // a second lamp behind the toy, on the other side
  c = c + f.fill * (back * f2 * ao * (.35f + .65f * luma(albedo)) * 1.1f);
  V half = norm(f.sun - view);
  float nh = sat(dot(n, half)), k = nh * nh; k = k * k; k = k * k; // ^8
  float k2 = k * k; k2 = k2 * k2; k2 = k2 * k2;                    // ^64
  return c + f.key * (sun * (.05f * k + .55f * gloss * k2 + .08f * gloss * k * k));
}

/** Light along one ray; `px` is half a pixel's angle. `blur` shifts the ray for what lies far behind, a little depth of field. */
HD V look(const Frame &f, V rd, V rdFar, float px) {
  V o = f.eye;
  // the toy
  V w = o - f.pos;
  float iw = 1.f / f.wide, it = 1.f / f.tall, t, end;
  V lo_ = v3(dot(w, f.r0) * iw, dot(w, f.r1) * it, dot(w, f.r2) * iw), ld = v3(dot(rd, f.r0) * iw, dot(rd, f.r1) * it, dot(rd, f.r2) * iw);
  if (inBox(f, lo_, ld, t, end)) {
    int id = 0;
    float d = 1.f;
    if (rd.y < 0.f) end = lo(end, -o.y / rd.y + .02f);
#pragma unroll 1
    for (int i = 0; i < 40 && t < end; i++) {
      d = toy(f, lo_ + ld * t, id) * f.shrink;
      if (d < px * t) break;
      t += d;
    }
    if (d < px * t * 2.f && t < end) {
      V p = lo_ + ld * t, wp = o + rd * t;
      // six probes: four for the slope, two along it for how open the place is
      const float e = .0025f;
      V ln = v3(0, 0, 0), nl = ln;
      float ao = 1.f;
#pragma unroll 1
      for (int i = 0; i < 6; i++) {
        V k = i < 4 ? v3(i == 0 || i == 3 ? e : -e, i > 1 ? e : -e, i & 1 ? e : -e) : nl * (i == 4 ? .06f : .17f);
        int none;
        float s = toy(f, p + k, none);
        if (i < 4) ln = ln + k * s;
        else ao -= i == 4 ? 3.4f * (.06f - s) : 1.36f * (.17f - s);
        if (i == 3) nl = norm(ln);
      }
      ln = nl;
      if (f.fine) { // the marks of fingers
        V g = p * 23.f;
        ln = ln + v3(sinf(g.y * 1.1f + 2.f * sinf(g.z)), sinf(g.z * 1.2f + 2.f * sinf(g.x)), sinf(g.x + 2.f * sinf(g.y))) * .028f
             + v3(noise(g.y * 2.1f, g.z * 2.1f) - .5f, noise(g.x * 2.3f, g.z * 2.f) - .5f, noise(g.x * 2.f, g.y * 2.2f) - .5f) * .06f;
      }
      ln = v3(ln.x * iw, ln.y * it, ln.z * iw);
      V n = norm(f.r0 * ln.x + f.r1 * ln.y + f.r2 * ln.z);
      float gloss;
      V albedo = paint(f, p, id, gloss);
      ao = sat(ao) * (.5f + .5f * smooth(-.25f, .55f, wp.y + .35f * n.y));
      float near, sun = shadow(f, wp + n * .012f, f.fine ? 14 : 7, 7.f, near);
      V c = surface(f, albedo, n, rd, sun, ao, gloss, id == P_EYE ? .1f : .28f);
      float fogged = 1.f - expf(-f.fogginess * .5f * hi(t - 3.8f, 0.f));
      return mixv(c, f.fog, fogged);
    }
  }
  // everything else, along a ray that is spread a little wider the farther it goes
  float tg = rd.y < -1e-4f ? -o.y / rd.y : 1e9f;
  float spread = smooth(4.6f, 7.5f, tg);
  V r2 = norm(mixv(rd, rdFar, spread));
  tg = r2.y < -1e-4f ? -o.y / r2.y : 1e9f;
  float best = 1e9f;
  int which = -1;
  V pn = v3(0, 1, 0);
  for (int i = 0; i < f.props; i++) {
    V n = v3(0, 1, 0);
    float t = propHit(f.prop[i], o, r2, n);
    if (t > 0.f && t < best) { best = t; which = i; pn = n; }
  }
  float wallT = f.scene == ROOM ? (-2.5f - o.z) / lo(r2.z, -1e-3f) : 40.f;
  if (which >= 0 && best < tg && best < wallT) {
    const Prop &g = f.prop[which];
    V wp = o + r2 * best, c = g.a, l = wp - g.at;
    if (g.paint == GLOW) return c;
    switch (g.paint) {
    case SNOWY: c = mixv(c, g.b, smooth(.38f, .52f, l.y / g.size.y + .1f * sinf(atan2f(l.x, l.z) * 7.f))); break;
    case SEGMENTS: c = mixv(c, g.b, smooth(-.15f, .15f, sinf(atan2f(l.x, l.z) * 4.f + g.yaw))); break;
    case BANDS: c = mixv(c, g.b, smooth(-.2f, .2f, sinf(l.y * g.yaw))); break;
    default: c = mixv(c, g.b, smooth(-.6f, .9f, pn.y)); break;
    }
    float ao = (.55f + .45f * smooth(0.f, .5f, wp.y)) * (.8f + .2f * pn.y);
    c = surface(f, c, pn, r2, 1.f, ao, 0.f, .3f);
    return mixv(c, f.fog, 1.f - expf(-f.fogginess * hi(best - 4.f, 0.f)));
  }
  if (tg < lo(wallT, 60.f)) {
    V wp = o + r2 * tg, self;
    V c = ground(f, wp.x, wp.z, tg, self);
    float ao = 1.f, sun = 1.f;
    float dx = wp.x - f.bound.x, dz = wp.z - f.bound.z, reach = f.boundR * 2.9f;
    if (dx * dx + dz * dz < reach * reach) {
      float near;
      sun = shadow(f, wp, f.fine ? 28 : 14, 4.5f, near);
      float k = sat(near * 2.6f + .12f);
      ao = .25f + .75f * k * (2.f - k);
    }
    for (int i = 0; i < f.props; i++) {
      const Prop &g = f.prop[i];
      if (g.blob > 0.f) { float u = (wp.x - g.at.x + f.sun.x * .25f * g.blob) / g.blob, v = (wp.z - g.at.z + f.sun.z * .25f * g.blob) / g.blob, k = sat(1.35f - sqrtf(u * u + v * v)); ao *= 1.f - .55f * k; sun *= 1.f - .5f * k; }
    }
    if (f.scene >= STUDIO) {
      V wall = backdrop(f, o, r2, px);
      V lit = wall * mixv(v3(.5f, .47f, .52f), v3(1, 1, 1), sun) * mixf(.35f, 1.f, ao);
      return lit;
    }
    c = c * (f.key * (sun * hi(f.sun.y, .05f)) + f.fill * ao) + self * (.4f + .6f * ao);
    V hz = f.fog;
    return mixv(c, hz, 1.f - expf(-f.fogginess * hi(tg - 4.5f, 0.f)));
  }
  V c = backdrop(f, o, r2, px);
  if (f.scene == ROOM) c = c * (f.key * .34f + f.fill * .75f);
  return c;
}

HD void pixel(const Frame &f, int x, int y, int size, int samples, uint8_t *out) {
  // a grid turned a little, so that near-level and near-upright edges get as many shades as there are samples; the diagonal first, the rest only where the diagonal differs
  V sum = v3(0, 0, 0), least = v3(9, 9, 9), most = v3(0, 0, 0);
  float px = f.lens / (float)size, wide = 1.1f * 2.f * f.lens / 128.f, taken = 0.f;
#pragma unroll 1
  for (int k = 0; k < samples * samples; k++) {
    int j = (k + k / samples) % samples, i = k % samples;
    float gx = (i + .5f) / samples - .5f, gy = (j + .5f) / samples - .5f, sx = gx * .89f - gy * .45f, sy = gx * .45f + gy * .89f;
    float ux = ((x + .5f + sx) * 2.f / size - 1.f) * f.lens, uy = (1.f - (y + .5f + sy) * 2.f / size) * f.lens;
    V rd = norm(f.ahead + f.right * ux + f.up * uy), far = norm(f.ahead + f.right * (ux + sx * wide) + f.up * (uy - sy * wide));
    V c = tone(look(f, rd, far, px), f.exposure);
    sum = sum + c;
    taken += 1.f;
    least = v3(lo(least.x, c.x), lo(least.y, c.y), lo(least.z, c.z));
    most = v3(hi(most.x, c.x), hi(most.y, c.y), hi(most.z, c.z));
    V gap = most - least;
    if (k == samples - 1 && hi(hi(gap.x, gap.y), gap.z) < .02f) break;
  }
  float u = (x + .5f) / size - .5f, w = (y + .5f) / size - .5f, k = (1.f - .35f * (u * u + w * w)) / taken;
  out[0] = (uint8_t)(powf(sat(sum.x * k), 1.f / 2.2f) * 255.f + .5f);
  out[1] = (uint8_t)(powf(sat(sum.y * k), 1.f / 2.2f) * 255.f + .5f);
  out[2] = (uint8_t)(powf(sat(sum.z * k), 1.f / 2.2f) * 255.f + .5f);
}

// ---------------------------------------------------------------- prepare
#include "prepare.h"

// ---------------------------------------------------------------- C ABI. Pointers are the device's under CUDA, the host's under g++. All return 0 or CUDA's error.
#ifdef __CUDACC__
__global__ void prepareAll(const float *subjects, const int *scenes, const int *motions, const int *cameras, const float *setup, Frame *frames, int n, int count, int still, int fine) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n * count) prepare(subjects + (i / count) * SUBJECT, scenes[i / count], motions[i / count], cameras[i / count], setup + (i / count) * SETUP, i % count, count, still, fine, frames[i]);
}
__global__ void __launch_bounds__(128, 4) drawAll(const Frame *frames, uint8_t *out, int size, int samples) {
  __shared__ Frame f;
  const int *from = (const int *)(frames + blockIdx.z);
  for (int i = threadIdx.y * blockDim.x + threadIdx.x; i < (int)(sizeof(Frame) / 4); i += blockDim.x * blockDim.y) ((int *)&f)[i] = from[i];
  __syncthreads();
  int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x < size && y < size) pixel(f, x, y, size, samples, out + (((size_t)blockIdx.z * size + y) * size + x) * 3);
}
#endif

extern "C" {
int world_sizes(int *subject, int *setup, int *frame) { *subject = SUBJECT; *setup = SETUP; *frame = (int)sizeof(Frame); return 0; }

int world_prepare(const float *subjects, const int *scenes, const int *motions, const int *cameras, const float *setup, void *frames, int n, int count, int still, int fine, void *stream) {
#ifdef __CUDACC__
  prepareAll<<<(n * count + 63) / 64, 64, 0, (cudaStream_t)stream>>>(subjects, scenes, motions, cameras, setup, (Frame *)frames, n, count, still, fine);
  return (int)cudaGetLastError();
#else
  (void)stream;
#pragma omp parallel for schedule(dynamic, 1)
  for (int i = 0; i < n * count; i++)
    prepare(subjects + (i / count) * SUBJECT, scenes[i / count], motions[i / count], cameras[i / count], setup + (i / count) * SETUP, i % count, count, still, fine, ((Frame *)frames)[i]);
  return 0;
#endif
}

/** Pictures of `total` frames: uint8 [total, size, size, 3]. */
int world_draw(const void *frames, uint8_t *out, int total, int size, int samples, void *stream) {
#ifdef __CUDACC__
  for (int at = 0; at < total; at += 65535) { // a grid's z is at most 65,535
    int some = total - at < 65535 ? total - at : 65535;
    dim3 block(16, 8), grid((size + 15) / 16, (size + 7) / 8, some);
    drawAll<<<grid, block, 0, (cudaStream_t)stream>>>((const Frame *)frames + at, out + (size_t)at * size * size * 3, size, samples);
  }
  return (int)cudaGetLastError();
#else
  (void)stream;
#pragma omp parallel for schedule(dynamic, 4)
  for (int r = 0; r < total * size; r++)
    for (int x = 0; x < size; x++) pixel(((const Frame *)frames)[r / size], x, r % size, size, samples, out + ((size_t)r * size + x) * 3);
  return 0;
#endif
}

}
