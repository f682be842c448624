/** @file From three vectors (subject, clip, setup) to one Frame: the toy's measures, its pose at a moment, the camera, the light, the palette and the props. Part of world.cu. */

HD float topOf(const Frame &f, float x, float z, float from) { // height of the body's skin over (x, z)
  float y = from;
  for (int i = 0; i < 40; i++) { float d = bodyDistance(f, v3(x, y, z)); if (d < .002f) break; y -= hi(d * .9f, .002f); if (y < f.cy) break; }
  return y;
}
HD float frontOf(const Frame &f, float x, float y, float sign) { // depth of the skin at (x, y), from the front (1) or the back (-1)
  float z = 1.1f;
  for (int i = 0; i < 40; i++) { float d = bodyDistance(f, v3(x, y, z * sign)); if (d < .002f) break; z -= hi(d * .9f, .002f); if (z < 0.f) return 0.f; }
  return z * sign;
}
HD float sideOf(const Frame &f, float y, float sign) { // half width of the skin at y, to the right (1) or to the left (-1)
  float x = 1.1f;
  for (int i = 0; i < 40; i++) { float d = bodyDistance(f, v3(x * sign, y, 0.f)); if (d < .002f) break; x -= hi(d * .9f, .002f); if (x < .02f) return .02f; }
  return x;
}
HD float sides(const Frame &f, float y) { return lo(sideOf(f, y, 1.f), sideOf(f, y, -1.f)); }

HD V srgb(const float *c) { return v3(powf(sat(c[0]), 2.2f), powf(sat(c[1]), 2.2f), powf(sat(c[2]), 2.2f)); }

/** The toy's measures in its own space (feet at y = 0). Returns the height of its highest point. */
HD float measure(Frame &f, const float *su) {
  float w = su[WIDTH], d1 = su[DETAIL1], d2 = su[DETAIL2];
  f.body = (int)su[BODY]; f.pattern = (int)su[PATTERN]; f.eyeStyle = (int)su[EYE_STYLE]; f.mouth = (int)su[MOUTH]; f.ears = (int)su[EARS]; f.arms = (int)su[ARMS];
  f.feet = (int)su[FEET]; f.tail = (int)su[TAIL]; f.belly = (int)su[BELLY]; f.wear = (int)su[ACCESSORY]; f.cheeks = (int)su[CHEEKS];
  f.c1 = srgb(su + C1R); f.c2 = srgb(su + C2R); f.c3 = srgb(su + C3R);
  f.gloss = su[GLOSS];
  f.freq = su[PATTERN_FREQ]; f.phase = su[PATTERN_PHASE]; f.cosT = cosf(su[PATTERN_TILT]); f.sinT = sinf(su[PATTERN_TILT]);
  float half = .5f, face = .08f, bottom;
  f.a4 = 0.f;
  switch (f.body) {
  case ROUND: f.a0 = .5f * w; f.a1 = .46f; f.a2 = .46f * w; half = .46f; face = .1f; break;
  case PEAR: f.a0 = .42f * w; f.a1 = .27f + .04f * d1; half = .56f; f.a2 = half - f.a0; f.a3 = 2.f * half - f.a0 - f.a1; face = half - f.a1 - .03f; break;
  case BEAN: f.a0 = .34f * w; half = .58f; f.a1 = half - f.a0; f.a2 = (d1 < .5f ? -1.f : 1.f) * (.1f + .08f * d2); f.a3 = .92f; face = .2f; break;
  case BOX: f.a0 = .4f * w; f.a1 = .43f; f.a2 = .34f * w; f.a3 = .1f + .08f * d1; half = .43f; face = .1f; break;
  case CONE: f.a0 = .45f * w; f.a1 = .11f + .07f * d1; half = .6f; f.a2 = half - f.a0; f.a3 = 2.f * half - f.a0 - f.a1; face = .0f; break;
  case STAR: f.a0 = .53f * (.92f + .1f * w); f.a1 = .23f; f.a2 = .55f + .08f * d1; f.a3 = .1f; half = .56f; face = .07f; break;
  case SNOWMAN: f.a0 = .4f * w; f.a1 = .31f + .04f * d1; half = .62f; f.a2 = half - f.a0 * .9f; f.a3 = half - f.a1; face = f.a3 + .02f; break;
  case CAPSULE: f.a0 = .34f * w; half = .6f; f.a1 = half - f.a0; face = .2f; break;
  case BIGHEAD: f.a0 = .46f * w; f.a1 = .37f; half = .6f; f.a3 = half - .37f; f.a4 = .25f + .04f * d1; f.a2 = half - f.a4 * 1.05f; face = f.a3 - .02f; break;
  case DRUM: f.a0 = .4f * w; f.a1 = .46f; f.a2 = .08f + .08f * d1; half = .46f; face = .1f; break;
  case GHOST: f.a0 = .4f * w; half = .56f; f.a1 = half - f.a0; f.a2 = half; face = .18f; break;
  default: f.a0 = .2f + .05f * d1; f.a1 = .43f * w; half = .56f; f.a2 = half - f.a0; f.a3 = 2.f * half - f.a0 - f.a1; face = half - f.a1 - .02f; break; // ACORN
  }
  bottom = f.feet == 0 ? 0.f : f.feet == 2 ? .2f : .05f;
  f.cy = half + bottom;
  f.faceY = f.cy + face + su[EYE_HEIGHT];
  f.headW = f.body == STAR ? .3f : clampf(sides(f, f.faceY), .2f, .46f);
  float s = f.headW;
  // eyes sit half sunk in the skin
  f.eyeR = su[EYE_SIZE] * (.55f + .45f * s / .4f);
  float gap = hi(su[EYE_GAP] * s, f.eyeR * .94f);
  f.eyeAt = v3(gap, f.faceY, 0.f);
  float zl = frontOf(f, gap, f.faceY, 1.f), zr = frontOf(f, -gap, f.faceY, 1.f);
  f.eyeAt.z = .5f * (zl + zr) - f.eyeR * .32f;
  f.pupil = su[PUPIL]; f.lid = su[LID];
  { float h = su[IRIS] * 6.f; f.iris = v3(powf(sat(fabsf(h - 3.f) - 1.f) * .75f + .08f, 2.2f), powf(sat(2.f - fabsf(h - 2.f)) * .7f + .08f, 2.2f), powf(sat(2.f - fabsf(h - 4.f)) * .8f + .08f, 2.2f)); }
  f.mouthS = su[MOUTH_SIZE] * (.5f + .5f * s / .4f);
  f.mouthY = f.faceY - f.eyeR * (f.mouth == BEAK ? .75f : .95f) - (f.mouth == OPEN ? .03f : f.mouth == MUZZLE ? .07f : f.mouth == SMILE ? .02f : .06f);
  f.mouthZ = frontOf(f, 0.f, f.mouthY, 1.f);
  // ears: on the skin, turned outwards
  float big = su[EAR_SIZE], ex = su[EAR_GAP] * s, top = topOf(f, 0.f, 0.f, f.cy + 1.f);
  f.topY = top;
  float ang = .35f;
  f.earS = big;
  switch (f.ears) {
  case ROUND_EARS: ex = s * (.62f + .15f * su[EAR_GAP]); ang = .62f; break;
  case CAT_EARS: ang = .3f; break;
  case RABBIT_EARS: ex = s * .38f; ang = .18f; break;
  case HORNS: ang = .6f; break;
  case ANTENNAE: ex = s * .3f; ang = .35f; break;
  case CREST: ex = 0.f; break;
  case SPROUT: ex = 0.f; break;
  default: break;
  }
  f.earC = cosf(ang); f.earSn = sinf(ang);
  if (f.ears == FLOPPY_EARS) {
    float y = mixf(f.faceY, top, .55f);
    f.earAt = v3(sides(f, y) - .01f, y + .02f, -.02f); f.earC = cosf(-.22f); f.earSn = sinf(-.22f);
  } else f.earAt = v3(ex, topOf(f, ex, -.02f, f.cy + 1.f) - (f.ears == CREST ? .03f : .015f), -.02f);
  if (f.body == STAR && f.ears != NO_EARS && f.ears != FLOPPY_EARS) f.earAt.x = lo(f.earAt.x, .12f), f.earAt.y = topOf(f, f.earAt.x, -.02f, f.cy + 1.f) - .02f;
  float tip = f.ears == ROUND_EARS ? 1.5f : f.ears == CAT_EARS ? 2.1f : f.ears == RABBIT_EARS ? 4.2f : f.ears == HORNS ? 2.1f : f.ears == ANTENNAE ? 3.3f : f.ears == CREST ? 1.5f : 2.f;
  float reach = f.ears == NO_EARS || f.ears == FLOPPY_EARS ? top : hi(top, f.earAt.y + big * tip);
  // arms, feet, tail
  float ay = f.body == STAR ? f.cy - .02f : f.body == SNOWMAN || f.body == BIGHEAD ? f.cy - .16f : f.body == PEAR ? f.cy : f.body == ACORN ? f.cy + .02f : f.faceY - .24f;
  if (f.body == STAR) f.arms = 0;
  f.armAt = v3(hi(sides(f, ay) - .035f, .1f), ay, 0.f);
  f.armR = .075f + .02f * d2; f.armLen = su[ARM_LENGTH];
  float fw = f.body == ACORN ? .2f : f.body == STAR ? .28f : clampf(sides(f, bottom + .16f) * .55f, .13f, .24f);
  f.footS = su[FOOT_SIZE];
  f.footAt = v3(hi(fw, f.footS * 1.04f), f.footS * .6f, .07f);
  f.legTop = bottom + .16f;
  f.tailAt = v3(0.f, bottom + .26f, 0.f);
  f.tailAt.z = frontOf(f, 0.f, f.tailAt.y, -1.f);
  // belly, neck
  float by = f.body == SNOWMAN || f.body == BIGHEAD ? f.cy - f.a2 : f.body == PEAR || f.body == GHOST ? f.cy - .22f : f.cy - .17f;
  f.bellyY = by;
  f.bellyW = (f.body == BIGHEAD ? f.a4 * .8f : sides(f, by) * .62f) * su[BELLY_SIZE];
  f.bellyH = (f.body == SNOWMAN ? f.a0 * .68f : f.body == BIGHEAD ? f.a4 * .8f : .27f) * su[BELLY_SIZE];
  if (f.body == STAR) f.bellyW = f.bellyH = .17f;
  f.neckY = f.body == SNOWMAN ? f.cy + f.a3 - f.a1 * .93f : f.body == BIGHEAD ? f.cy + f.a3 - f.a1 * .97f : f.mouthY - .2f * f.mouthS - .06f;
  if (f.wear == BEANIE) f.neckY = mixf(f.faceY + f.eyeR, top, .35f) + .02f, reach = hi(reach, top + .19f);
  if (f.wear == PARTY_HAT) reach = hi(reach, top + .46f);
  if (f.wear == BOW) { float bx = s * .55f * (d1 < .5f ? -1.f : 1.f), y = topOf(f, bx, .06f, f.cy + 1.f); f.wearAt = v3(bx, y + .05f, .1f); reach = hi(reach, y + .15f); }
  if (f.wear == BOW_TIE) { f.wearAt = v3(0.f, f.neckY, 0.f); f.wearAt.z = frontOf(f, 0.f, f.neckY, 1.f) + .035f; }
  if (f.wear == SCARF) { f.wearAt = v3(s * .45f, f.neckY, 0.f); f.wearAt.z = frontOf(f, s * .45f, f.neckY, 1.f) + .03f; }
  // the box around all of it
  float bx = .1f, zf = .1f, zb = .1f;
  for (int i = 0; i < 8; i++) {
    float y = mixf(bottom + .04f, top - .04f, i / 7.f);
    bx = hi(bx, hi(sideOf(f, y, 1.f), sideOf(f, y, -1.f))); zf = hi(zf, frontOf(f, 0.f, y, 1.f)); zb = hi(zb, -frontOf(f, 0.f, y, -1.f));
  }
  f.girth = bx;
  if (f.body == STAR) bx = hi(bx, .66f);
  float y1 = reach, scarf = f.wear == SCARF || f.wear == BEANIE ? .12f : 0.f;
  bx = hi(bx + scarf, hi(f.footAt.x + f.footS, f.eyeAt.x + f.eyeR));
  if (f.arms) bx = hi(bx, f.armAt.x + f.armLen * (f.arms == 2 ? 1.13f : 1.f) + f.armR * 1.25f), y1 = hi(y1, f.armAt.y + f.armLen * 1.13f + f.armR * 1.9f);
  if (f.ears) bx = hi(bx, f.earAt.x + big * 1.75f);
  if (f.tail == 2) bx = hi(bx, .51f), y1 = hi(y1, f.tailAt.y + .42f);
  if (f.wear == BOW) bx = hi(bx, fabsf(f.wearAt.x) + .27f);
  zf = hi(hi(zf + hi(scarf, f.wear == BOW_TIE ? .14f : 0.f), f.eyeAt.z + f.eyeR), hi(f.feet ? .16f + f.footS * 1.35f : 0.f, f.arms ? f.armLen * .5f + f.armR : 0.f));
  if (f.wear == SCARF) zf += .06f;
  if (f.mouth == BEAK) zf = hi(zf, f.mouthZ + .17f * f.mouthS + .03f);
  if (f.mouth == MUZZLE) zf = hi(zf, f.mouthZ + .15f);
  zb = hi(hi(zb + scarf, f.tail ? -f.tailAt.z + (f.tail == 2 ? .24f : .14f) : 0.f), f.ears == CREST ? .06f + big * 2.1f : .27f);
  f.boxLo = v3(-bx - .02f, -.06f, -zb - .02f); f.boxHi = v3(bx + .02f, y1 + .03f, zf + .02f);
  return reach;
}

HD float pick(uint32_t seed, int i) { return hash2((int)seed + i * 7919, (int)(seed >> 9) + i * 104729); }

HD void put(Frame &f, int kind, V at, V size, V a, V b, int paint, float yaw, float blob) {
  if (f.props >= PROPS) return;
  Prop &q = f.prop[f.props++];
  q.kind = kind; q.at = at; q.size = size; q.a = a; q.b = b; q.paint = paint; q.yaw = yaw; q.blob = blob;
}

HD V shift(V c, float k) { return v3(c.x * (1.f + .12f * k), c.y, c.z * (1.f - .12f * k)); } // a little warmer or cooler

HD void tree(Frame &f, float x, float z, float s, V leaf, V light, V trunk) {
  put(f, FRUSTUM, v3(x, 0, z), v3(.11f * s, .9f * s, .07f * s), trunk, trunk, MATT, 0, .45f * s);
  put(f, ELLIPSOID, v3(x, 1.25f * s, z), v3(.62f * s, .6f * s, .6f * s), leaf, light, MATT, 0, 0);
  put(f, ELLIPSOID, v3(x - .28f * s, .95f * s, z + .15f * s), v3(.4f * s, .36f * s, .4f * s), leaf, light, MATT, 0, 0);
  put(f, ELLIPSOID, v3(x + .3f * s, 1.05f * s, z + .12f * s), v3(.38f * s, .36f * s, .38f * s), leaf, light, MATT, 0, 0);
}
HD void pine(Frame &f, float x, float z, float s, V leaf, V snow, V trunk) {
  put(f, FRUSTUM, v3(x, 0, z), v3(.1f * s, .4f * s, .1f * s), trunk, trunk, MATT, 0, .5f * s);
  put(f, FRUSTUM, v3(x, .26f * s, z), v3(.6f * s, .75f * s, .12f * s), leaf, snow, SNOWY, 0, 0);
  put(f, FRUSTUM, v3(x, .74f * s, z), v3(.47f * s, .68f * s, .08f * s), leaf, snow, SNOWY, 0, 0);
  put(f, FRUSTUM, v3(x, 1.2f * s, z), v3(.34f * s, .62f * s, .01f * s), leaf, snow, SNOWY, 0, 0);
}
HD void cactus(Frame &f, float x, float z, float s, V a, V b, float side) {
  put(f, ELLIPSOID, v3(x, .62f * s, z), v3(.19f * s, .8f * s, .19f * s), a, b, MATT, 0, .35f * s);
  put(f, ELLIPSOID, v3(x + side * .27f * s, .62f * s, z), v3(.2f * s, .09f * s, .09f * s), a, b, MATT, 0, 0);
  put(f, ELLIPSOID, v3(x + side * .4f * s, .85f * s, z), v3(.1f * s, .3f * s, .1f * s), a, b, MATT, 0, 0);
  put(f, ELLIPSOID, v3(x - side * .28f * s, .82f * s, z), v3(.2f * s, .08f * s, .08f * s), a, b, MATT, 0, 0);
  put(f, ELLIPSOID, v3(x - side * .4f * s, 1.0f * s, z), v3(.09f * s, .24f * s, .09f * s), a, b, MATT, 0, 0);
}

/** Palette, light and props of a scene. pal: 0-1 sky low and high, 3-5 far layers, 6-7 ground, 8-9 extra (9: glow). */
HD void dress(Frame &f, int scene, const float *st) {
  uint32_t seed = (uint32_t)(st[LAYOUT] * 16777216.f);
  float k = st[TINT] * 2.f - 1.f, a = pick(seed, 1), b = pick(seed, 2), c = pick(seed, 3), e = pick(seed, 4), side = pick(seed, 5) < .5f ? -1.f : 1.f;
  f.scene = scene; f.props = 0; f.seed = st[LAYOUT];
  float warm = st[LIGHT_WARMTH] * 2.f - 1.f;
  V white = v3(1, 1, 1);
  for (int i = 0; i < 10; i++) f.pal[i] = white;
  f.exposure = 1.f; f.fogginess = .03f;
  switch (scene) {
  case MEADOW:
    f.pal[0] = rgb(0xdaf2f7); f.pal[1] = rgb(0x62b4ee); f.pal[3] = rgb(0x86bf9a); f.pal[4] = rgb(0x6fae4e); f.pal[6] = shift(rgb(0x6cab3a), k); f.pal[7] = shift(rgb(0x8fc750), k); f.pal[9] = rgb(0xfff0c0);
    f.key = rgb(0xfff0d2) * 1.75f; f.fill = rgb(0xbfdcf5) * .78f; f.bounce = rgb(0x8db55a) * .42f; f.fog = rgb(0xd5ebe6); f.fogginess = .035f;
    tree(f, side * (1.65f + .3f * a), -2.3f - 1.2f * b, 1.f + .35f * c, rgb(0x4c9a3c), rgb(0x86c24e), rgb(0x8a5a36));
    tree(f, -side * (2.2f + .9f * b), -3.9f - a, 1.25f + .3f * e, rgb(0x5aa348), rgb(0x9ccc5c), rgb(0x8a5a36));
    put(f, ELLIPSOID, v3(-side * (1.25f + .25f * c), .12f, -1.2f - .5f * a), v3(.42f, .3f, .36f), rgb(0x5f9f3b), rgb(0x9aca57), MATT, 0, .5f);
    put(f, ELLIPSOID, v3(-side * (1.75f + .25f * c), .1f, -1.5f - .5f * a), v3(.36f, .24f, .3f), rgb(0x559a3d), rgb(0x8dc453), MATT, 0, .45f);
    put(f, FRUSTUM, v3(side * (1.05f + .2f * e), 0, -.75f - .3f * b), v3(.075f, .2f, .06f), rgb(0xf4e6cf), rgb(0xf4e6cf), MATT, 0, .16f);
    put(f, ELLIPSOID, v3(side * (1.05f + .2f * e), .22f, -.75f - .3f * b), v3(.19f, .13f, .19f), rgb(0xd9412f), rgb(0xf06a4d), MATT, 0, 0);
    break;
  case BEACH:
    f.pal[0] = rgb(0xe9f7f6); f.pal[1] = rgb(0x4fb4ea); f.pal[3] = rgb(0x7fb7a8); f.pal[4] = rgb(0x74e0d4); f.pal[5] = shift(rgb(0x1f8fc4), k * .5f); f.pal[6] = shift(rgb(0xf0d6a0), k * .5f); f.pal[7] = shift(rgb(0xf9e6bd), k * .5f); f.pal[9] = rgb(0xfff2cc);
    f.key = rgb(0xfff1d0) * 1.8f; f.fill = rgb(0xbfe2f2) * .8f; f.bounce = rgb(0xe8c890) * .5f; f.fog = rgb(0xdff2f4); f.fogginess = .02f;
    { float x = side * (1.2f + .25f * a), z = -1.25f - .3f * b;
      V u = c < .33f ? rgb(0xe8483c) : c < .66f ? rgb(0x2f7fd0) : rgb(0xf08a24);
      put(f, FRUSTUM, v3(x, 0, z), v3(.03f, 1.5f, .03f), rgb(0xf2ead8), rgb(0xf2ead8), MATT, 0, 0);
      put(f, FRUSTUM, v3(x, 1.2f, z), v3(.72f, .42f, .02f), u, rgb(0xfff6e6), SEGMENTS, a * 6.f, .7f);
      put(f, ELLIPSOID, v3(x - side * .4f, .17f, z + .3f), v3(.17f, .17f, .17f), rgb(0xf6c534), e < .5f ? rgb(0xe8483c) : rgb(0x3a8fd6), SEGMENTS, 1.f, .2f); }
    { float x = -side * (1.5f + .35f * e), z = -2.4f; // a palm
      for (int i = 0; i < 4; i++) put(f, FRUSTUM, v3(x + side * .018f * i * i, .44f * i, z), v3(.13f - .016f * i, .46f, .108f - .016f * i), rgb(0xb98a58), rgb(0xa87848), MATT, 0, i == 0 ? .3f : 0.f);
      float tx = x + side * .2f, ty = 1.82f;
      for (int i = 0; i < 6; i++) { float w = i < 3 ? -1.f : 1.f; int k = i % 3; put(f, ELLIPSOID, v3(tx + w * (.22f + .24f * k), ty - .1f * k * k + .06f, z + .05f * k), v3(.25f, .1f - .015f * k, .15f), rgb(0x3f9a45), rgb(0x84c654), MATT, 0, 0); }
      put(f, ELLIPSOID, v3(tx, ty - .1f, z + .25f), v3(.16f, .22f, .12f), rgb(0x348a40), rgb(0x74b84c), MATT, 0, 0); }
    put(f, ELLIPSOID, v3(-side * 1.2f, .06f, -.7f - .3f * a), v3(.22f, .16f, .18f), rgb(0xb7a58c), rgb(0xd8c8ae), MATT, 0, .26f);
    { float x = side * (1.f + 3.f * e) - 1.f, z = -7.f; // a sail boat
      put(f, ELLIPSOID, v3(x, .1f, z), v3(.6f, .16f, .25f), rgb(0xc9442f), rgb(0xe0644a), MATT, 0, 0);
      put(f, FRUSTUM, v3(x, .25f, z), v3(.42f, 1.1f, .02f), rgb(0xfbf6ec), rgb(0xfbf6ec), MATT, 0, 0); }
    break;
  case SNOW:
    f.pal[0] = rgb(0xfbe9e2); f.pal[1] = rgb(0xa9c9ea); f.pal[3] = rgb(0x9db3d2); f.pal[4] = rgb(0xdbe6f4); f.pal[5] = rgb(0xf6f8fc); f.pal[6] = rgb(0xdfe9f6); f.pal[7] = rgb(0xf8fafd); f.pal[9] = rgb(0xffe6cc);
    f.key = rgb(0xfff0e0) * 1.25f; f.fill = rgb(0xb9d2f2) * .72f; f.bounce = rgb(0xd5e2f5) * .5f; f.fog = rgb(0xe9eef6); f.fogginess = .045f; f.exposure = .98f;
    pine(f, side * (1.35f + .3f * a), -1.9f - .8f * b, 1.05f + .3f * c, rgb(0x2c7356), rgb(0xf6f9fd), rgb(0x6b4a36));
    pine(f, -side * (1.6f + .4f * b), -2.9f - a, 1.2f + .3f * e, rgb(0x356f5a), rgb(0xf6f9fd), rgb(0x6b4a36));
    pine(f, -side * (.75f + .5f * c), -5.2f, 1.2f + .4f * a, rgb(0x46806c), rgb(0xf6f9fd), rgb(0x6b4a36));
    put(f, ELLIPSOID, v3(-side * (1.3f + .2f * c), -.05f, -.9f), v3(.5f, .27f, .4f), rgb(0xe6eef9), rgb(0xfcfdff), MATT, 0, .5f);
    put(f, ELLIPSOID, v3(side * 1.25f, -.06f, -1.f - .3f * e), v3(.4f, .22f, .3f), rgb(0xe6eef9), rgb(0xfcfdff), MATT, 0, .4f);
    break;
  case CITY:
    f.pal[0] = shift(rgb(0x5a4a86), k); f.pal[1] = rgb(0x171b3f); f.pal[2] = rgb(0x191b38); f.pal[3] = rgb(0x3d3f73); f.pal[4] = rgb(0x2f3160); f.pal[5] = rgb(0x262850); f.pal[6] = rgb(0x5f5c7c); f.pal[7] = rgb(0x6c6888); f.pal[8] = rgb(0x34344e);
    f.key = rgb(0xffd9a0) * 1.35f; f.fill = rgb(0x7f86d0) * .62f; f.bounce = rgb(0x8a6a6a) * .35f; f.fog = rgb(0x3b3768); f.fogginess = .03f; f.exposure = 1.18f;
    for (int i = 0; i < 3; i++) { // street lamps
      float x = i == 0 ? side * (1.15f + .2f * a) : i == 1 ? -side * (1.5f + .3f * b) : side * (1.9f + .4f * c), z = i == 0 ? -1.f : i == 1 ? -1.15f : -3.6f;
      put(f, FRUSTUM, v3(x, 0, z), v3(.06f, 1.75f, .035f), rgb(0x2b2d44), rgb(0x2b2d44), MATT, 0, .15f);
      put(f, ELLIPSOID, v3(x, 1.86f, z), v3(.17f, .19f, .17f), v3(2.2f, 1.45f, .62f), white, GLOW, 0, 0);
      put(f, FRUSTUM, v3(x, 1.98f, z), v3(.19f, .12f, .03f), rgb(0x2b2d44), rgb(0x2b2d44), MATT, 0, 0);
    }
    { V car = e < .33f ? rgb(0xd0423a) : e < .66f ? rgb(0xe6b32e) : rgb(0x3fa7a0); float x = -side * (1.15f + .5f * c), z = -2.6f;
      put(f, SLAB, v3(x, .33f, z), v3(.62f, .17f, .3f), car, car, MATT, 0, .6f);
      put(f, SLAB, v3(x, .6f, z), v3(.36f, .16f, .26f), rgb(0x9fb6d8), car, MATT, 0, 0);
      put(f, ELLIPSOID, v3(x - .36f, .15f, z + .3f), v3(.15f, .15f, .06f), rgb(0x1b1b24), rgb(0x1b1b24), MATT, 0, 0);
      put(f, ELLIPSOID, v3(x + .36f, .15f, z + .3f), v3(.15f, .15f, .06f), rgb(0x1b1b24), rgb(0x1b1b24), MATT, 0, 0);
      put(f, ELLIPSOID, v3(x + side * .62f, .36f, z + .12f), v3(.06f, .08f, .08f), v3(2.f, 1.6f, 1.f), white, GLOW, 0, 0); }
    break;
  case ROOM: {
    float h = st[TINT];
    f.pal[2] = h < .33f ? rgb(0xf1c9a0) : h < .66f ? rgb(0xa9cdb8) : rgb(0xf0b7ae); f.pal[3] = mixv(f.pal[2], white, .35f); f.pal[4] = rgb(0xf3ebdc);
    f.pal[5] = rgb(0xe9dcc0); f.pal[6] = h < .5f ? rgb(0xc9553f) : rgb(0x4f7fa8); f.pal[7] = h < .5f ? rgb(0x7fa37a) : rgb(0xe0a84a); f.pal[8] = rgb(0xb67a48); f.pal[9] = rgb(0xd09a62);
    f.key = rgb(0xffe6bf) * 1.5f; f.fill = rgb(0xf2e2d2) * .66f; f.bounce = rgb(0xc08a5a) * .5f; f.fog = rgb(0xf0dcc0); f.fogginess = .0f;
    float x = side * (1.5f + .25f * a), z = -1.8f; // a sofa
    V so = c < .33f ? rgb(0x3f8f8f) : c < .66f ? rgb(0xd07a3a) : rgb(0x6a6fae), sl = mixv(so, white, .18f);
    put(f, SLAB, v3(x, .26f, z), v3(.78f, .2f, .4f), so, sl, MATT, 0, .8f);
    put(f, SLAB, v3(x, .62f, z - .32f), v3(.78f, .42f, .13f), so, sl, MATT, 0, 0);
    put(f, SLAB, v3(x - .78f, .42f, z), v3(.14f, .32f, .42f), so, sl, MATT, 0, 0);
    put(f, SLAB, v3(x + .78f, .42f, z), v3(.14f, .32f, .42f), so, sl, MATT, 0, 0);
    put(f, ELLIPSOID, v3(x - side * .35f, .6f, z + .02f), v3(.22f, .2f, .1f), rgb(0xf3d26b), rgb(0xfae6a0), MATT, 0, 0);
    x = -side * (1.3f + .25f * b); z = -1.9f; // a plant
    put(f, FRUSTUM, v3(x, 0, z), v3(.2f, .42f, .28f), rgb(0xcf6f4a), rgb(0xcf6f4a), MATT, 0, .35f);
    for (int i = 0; i < 4; i++) { float w = i - 1.5f; put(f, ELLIPSOID, v3(x + w * .19f, .88f - .1f * w * w * .5f + .12f * (i & 1), z + .1f * (i & 1)), v3(.15f, .42f, .15f), rgb(0x3c8a4a), rgb(0x78ba5c), MATT, 0, 0); }
    x = -side * (1.15f + .25f * e); z = -.75f; // blocks and a ball
    put(f, SLAB, v3(x, .14f, z), v3(.14f, .14f, .14f), rgb(0xe8b53a), rgb(0xf3cf6e), MATT, .5f + a, .24f);
    put(f, SLAB, v3(x + .05f, .4f, z - .02f), v3(.12f, .12f, .12f), rgb(0x4d8fd0), rgb(0x7ab0e4), MATT, 1.2f + b, 0);
    put(f, ELLIPSOID, v3(side * (1.05f + .2f * b), .16f, -.75f), v3(.16f, .16f, .16f), rgb(0xe2574c), rgb(0xfff2e0), SEGMENTS, a * 5.f, .2f);
    break;
  }
  case DESERT:
    f.pal[0] = rgb(0xffd08a); f.pal[1] = shift(rgb(0xe8795a), k); f.pal[3] = rgb(0xb5533c); f.pal[4] = rgb(0xd9864a); f.pal[6] = shift(rgb(0xdf8f4c), k * .5f); f.pal[7] = shift(rgb(0xefab66), k * .5f); f.pal[9] = rgb(0xffb25a);
    f.key = rgb(0xffcf94) * 1.75f; f.fill = rgb(0xe8a9a0) * .62f; f.bounce = rgb(0xd98a4a) * .5f; f.fog = rgb(0xf6bd84); f.fogginess = .045f;
    cactus(f, side * (1.2f + .25f * a), -1.2f - .7f * b, .95f + .25f * c, rgb(0x4f8f4a), rgb(0x86b85c), side);
    cactus(f, -side * (1.6f + .5f * b), -3.f - a, 1.2f + .3f * e, rgb(0x5a9450), rgb(0x8fba60), -side);
    put(f, ELLIPSOID, v3(-side * (1.2f + .2f * c), .08f, -.9f), v3(.33f, .22f, .26f), rgb(0xa65a3c), rgb(0xd08a58), MATT, 0, .36f);
    put(f, ELLIPSOID, v3(-side * (1.6f + .2f * c), .06f, -1.05f), v3(.24f, .15f, .2f), rgb(0xb0623f), rgb(0xd99460), MATT, 0, .28f);
    put(f, ELLIPSOID, v3(side * .5f, -.1f, -5.5f), v3(2.6f, .7f, 1.2f), rgb(0xd88a4c), rgb(0xeaa862), MATT, 0, 0);
    break;
  case UNDERSEA:
    f.pal[0] = rgb(0x4fc3c9); f.pal[1] = shift(rgb(0x0f6fa5), -k); f.pal[3] = rgb(0x2f93ad); f.pal[4] = rgb(0x1f7391); f.pal[6] = rgb(0xb9bf96); f.pal[7] = rgb(0xd2d2a4); f.pal[9] = rgb(0xb5f5ea);
    f.key = rgb(0xd8fff2) * 1.3f; f.fill = rgb(0x6fc9e0) * .82f; f.bounce = rgb(0x6fa79a) * .5f; f.fog = rgb(0x3aa5b8); f.fogginess = .085f;
    { float x = side * (1.15f + .2f * a), z = -1.05f - .4f * b; V co = c < .5f ? rgb(0xf2697a) : rgb(0xf08a3c), cl = mixv(co, white, .35f);
      for (int i = 0; i < 4; i++) { float w = i - 1.5f; put(f, ELLIPSOID, v3(x + w * .2f, .34f + .14f * (i & 1), z + .1f * (i & 1)), v3(.11f, .4f + .1f * (i & 1), .11f), co, cl, MATT, 0, i == 1 ? .45f : 0.f); } }
    { float x = -side * (1.4f + .3f * b), z = -1.2f; V co = e < .5f ? rgb(0x9a6fd0) : rgb(0xf0c23c);
      put(f, ELLIPSOID, v3(x, .16f, z), v3(.36f, .26f, .3f), co, mixv(co, white, .3f), MATT, 0, .42f);
      put(f, ELLIPSOID, v3(x - side * .42f, .1f, z + .05f), v3(.26f, .18f, .22f), mixv(co, white, .15f), mixv(co, white, .4f), MATT, 0, .3f); }
    for (int i = 0; i < 4; i++) { float x = -side * (1.35f + .2f * i) + .15f * a, sway = .12f * sinf(f.time * 2.6f + i * 1.7f); put(f, ELLIPSOID, v3(x + sway, .62f + .12f * (i & 1), -2.f - .3f * i), v3(.085f, .8f + .2f * (i & 1), .085f), rgb(0x2f8f4f), rgb(0x7cc45a), MATT, 0, 0); }
    for (int i = 0; i < 2; i++) { // fish
      float x = (i ? side : -side) * (1.25f - .5f * (f.time - .5f)) + (i ? .35f : -.2f) * a, y = 1.5f + .35f * i + .3f * b, z = -1.6f - i, way = i ? -side : side;
      V co = i ? rgb(0xf5a623) : rgb(0xef5b4c);
      put(f, ELLIPSOID, v3(x, y, z), v3(.24f, .15f, .09f), co, mixv(co, white, .4f), MATT, 0, 0);
      put(f, ELLIPSOID, v3(x - way * .27f, y, z), v3(.07f, .13f, .03f), co, co, MATT, 0, 0);
      put(f, ELLIPSOID, v3(x + way * .12f, y + .04f, z + .08f), v3(.035f, .035f, .02f), rgb(0x10101a), rgb(0x10101a), MATT, 0, 0);
    }
    break;
  case MOON:
    f.pal[0] = rgb(0x10132e); f.pal[1] = rgb(0x04050f); f.pal[3] = rgb(0x5d5f74); f.pal[4] = rgb(0x7c7d8e); f.pal[6] = rgb(0x9a9aa6); f.pal[7] = rgb(0xb4b3bb); f.pal[9] = white;
    f.key = rgb(0xfff6ea) * 1.8f; f.fill = rgb(0x8791c2) * .42f; f.bounce = rgb(0x9a9aaa) * .4f; f.fog = rgb(0x23263f); f.fogginess = .02f;
    { float x = side * (1.2f + .25f * a), z = -1.5f - .5f * b; V r = c < .5f ? rgb(0xe2493c) : rgb(0xf0942a); // a rocket
      for (int i = 0; i < 3; i++) { float w = (i - 1) * .3f; put(f, FRUSTUM, v3(x + w, 0, z + (i == 1 ? .28f : -.05f)), v3(.1f, .5f, .02f), r, r, MATT, 0, i == 1 ? .5f : 0.f); }
      put(f, ELLIPSOID, v3(x, .92f, z), v3(.33f, .8f, .33f), rgb(0xf2f0ec), rgb(0xffffff), MATT, 0, 0);
      put(f, FRUSTUM, v3(x, 1.42f, z), v3(.27f, .42f, .02f), r, r, MATT, 0, 0);
      put(f, ELLIPSOID, v3(x, 1.05f, z + .27f), v3(.15f, .15f, .09f), rgb(0x3f9fd8), rgb(0x9fd6f2), MATT, 0, 0); }
    put(f, ELLIPSOID, v3(-side * (1.3f + .3f * b), .1f, -1.f), v3(.36f, .26f, .3f), rgb(0x7d7d8a), rgb(0xb0b0ba), MATT, 0, .4f);
    put(f, ELLIPSOID, v3(-side * (1.85f + .3f * b), .16f, -2.f), v3(.5f, .42f, .4f), rgb(0x74747f), rgb(0xa6a6b2), MATT, 0, .5f);
    put(f, ELLIPSOID, v3(-side * .9f, .04f, -.6f - .4f * e), v3(.16f, .1f, .13f), rgb(0x85858f), rgb(0xb5b5be), MATT, 0, .2f);
    break;
  default: { // plain paper
    int n = scene - STUDIO;
    f.pal[0] = n == 0 ? rgb(0xf7f5f1) : n == 1 ? shift(rgb(0xf8c3a0), k) : n == 2 ? shift(rgb(0x93c6ee), k) : n == 3 ? shift(rgb(0x9fdab4), k) : rgb(0xa09ca2);
    f.pal[1] = mixv(f.pal[0], white, .18f); f.pal[2] = f.pal[0] * .78f;
    f.key = rgb(0xfff2e0) * 1.7f; f.fill = rgb(0xe6ecf5) * .72f; f.bounce = f.pal[0] * .45f; f.fog = f.pal[1]; f.fogginess = 0.f;
  } }
  f.key = v3(f.key.x * (1.f + .08f * warm), f.key.y, f.key.z * (1.f - .12f * warm)) * .8f;
  f.fill = f.fill * .88f;
}

HD void turn(V &a, V &b, float by) { // in the plane of a and b
  float c = cosf(by), s = sinf(by);
  V x = a * c + b * s, y = b * c - a * s;
  a = x; b = y;
}

HDN void prepare(const float *su, int scene, int motion, int camera, const float *st, int index, int count, int still, int fine, Frame &f) {
  const float pi = 3.14159265f;
  float u = count > 1 ? (float)index / (count - 1) : .5f;
  f.time = still ? 0.f : u;
  f.fine = fine;
  dress(f, scene, st);
  float reach = measure(f, su);
  // size: the whole toy fills about the same part of the picture
  float want = su[HEIGHT] * (still ? 1.14f : 1.f), scale = want / mixf(f.topY, reach, .62f);
  scale = lo(lo(lo(scale, 1.2f), (still ? .62f : .57f) / hi(f.girth, .3f)), (still ? 1.6f : 1.5f) / reach);
  // how far it can go to either side and still be seen whole
  float room = 1.14f * (camera == ZOOM_IN ? .86f : 1.f) - hi(f.girth, .8f * f.boxHi.x) * scale, half = clampf(room, .26f, .62f);
  // pose: what the setup gives, then the motion
  float yaw = (st[YAW] * 2.f - 1.f) * (still ? .85f : .42f), x = (st[PLACE_X] * 2.f - 1.f) * .12f, y = 0.f, z = (st[PLACE_Z] * 2.f - 1.f) * .15f, roll = 0.f, pitch = 0.f, tall = 1.f, bend = 0.f, nod = 0.f;
  float al = .55f + .5f * st[ARM_L], ar = .55f + .5f * st[ARM_R], walk = 0.f, stride = 0.f, amp = .85f + .3f * st[AMPLITUDE], ph = st[PHASE], lean = st[LEAN] * 2.f - 1.f, way = st[TURN] < .5f ? -1.f : 1.f;
  float w = u * 2.f * pi, step;
  f.liftL = f.liftR = f.stepL = f.stepR = 0.f;
  if (still) {
    roll = lean * .12f; tall = 1.f + (st[SQUASH] * 2.f - 1.f) * .07f; bend = lean * .08f;
    al = .3f + 2.1f * st[ARM_L] * st[ARM_L]; ar = .3f + 2.1f * st[ARM_R] * st[ARM_R];
    if (st[STEP] < .3f) stride = .6f, walk = st[PHASE] * 6.f;
    z = 0.f; x *= .5f;
  } else switch (motion) {
    case LEFT: case RIGHT: { float sgn = motion == LEFT ? -1.f : 1.f; if (camera == (motion == LEFT ? PAN_RIGHT : PAN_LEFT)) half = hi(half - .16f, .24f); x = x * .3f + sgn * (u - .5f) * 2.f * half * lo(amp, 1.f); yaw = yaw * .4f + sgn * .62f; walk = w * 3.f + ph * 6.f; stride = 1.f; roll = .07f * sinf(walk); y = .035f * fabsf(sinf(walk)); break; }
    case HOP: { float n = 2.2f, k = fract(u * n + ph * .999f), hop = 4.f * k * (1.f - k); y = clampf(1.72f - reach * scale, .2f, .4f) * amp * hop; tall = 1.f + .16f * (hop - .35f); al += 1.5f * hop; ar += 1.5f * hop; f.liftL = f.liftR = -.03f * hop; break; }
    case SPIN: yaw += way * u * 2.f * pi * (.97f + .1f * amp); al += .75f; ar += .75f; y = .03f * fabsf(sinf(w * 2.f)); break;
    case CLOSER: case AWAY: { float k = motion == CLOSER ? u : 1.f - u; z = mixf(-1.85f, camera == ZOOM_IN ? .3f : .8f, k) * (.9f + .1f * amp) ; x *= .7f; yaw *= .6f; walk = w * 3.f + ph * 6.f; stride = 1.f; roll = .07f * sinf(walk); y = .035f * fabsf(sinf(walk)); break; }
    case SWAY: { float k = sinf(w * 2.f * way + ph * 6.28f); roll = -.27f * amp * k; x += lo(.12f * amp, half * .5f) * k; bend = .16f * k; al += 1.2f + .5f * k; ar += 1.2f - .5f * k; f.liftL = hi(0.f, k) * .07f; f.liftR = hi(0.f, -k) * .07f; break; }
    case STRETCH: { float k = sinf(w * 2.f + ph * 6.28f); tall = 1.f + (k > 0.f ? clampf(1.8f / (reach * scale) - 1.f, .16f, .32f) : .32f) * amp * k; al += .9f * k + .3f; ar += .9f * k + .3f; break; }
    case CIRCLE: { float q = way * w + ph * 2.f * pi; x = x * .3f + lo(.55f * amp, half) * cosf(q); z = z * .3f - .1f + .62f * amp * sinf(q); yaw = (way > 0.f ? pi - q : -q); walk = w * 4.f; stride = 1.f; roll = .06f * sinf(walk); y = .03f * fabsf(sinf(walk)); break; }
    default: { float k = .5f - .5f * cosf(w * 2.f); pitch = .62f * amp * k; nod = .16f * k; al += .6f * k; ar += .6f * k; z -= .12f * k; break; } // BOWS
  }
  if (motion == SPIN && !still) tall *= 1.f + .02f * sinf(w * 4.f);
  if (stride > 0.f) {
    step = sinf(walk);
    f.liftL = hi(0.f, step) * .1f * stride; f.liftR = hi(0.f, -step) * .1f * stride; f.stepL = cosf(walk) * -.09f * stride; f.stepR = cosf(walk) * .09f * stride;
    f.armZL = cosf(walk) * .5f * stride; f.armZR = -f.armZL;
  } else f.armZL = f.armZR = .12f;
  if (f.arms == 2) al = al * .8f + .2f, ar = ar * .8f + .2f;
  f.armLx = sinf(al); f.armLy = -cosf(al); f.armRx = sinf(ar); f.armRy = -cosf(ar);
  { float l = 1.f / sqrtf(1.f + f.armZL * f.armZL), r = 1.f / sqrtf(1.f + f.armZR * f.armZR); f.armLx *= l; f.armLy *= l; f.armZL *= l; f.armRx *= r; f.armRy *= r; f.armZR *= r; }
  f.tall = scale * tall; f.wide = scale / sqrtf(tall); f.shrink = .92f * lo(f.tall, f.wide);
  f.bendX = bend / reach; f.bendZ = nod;
  f.pos = v3(x, y, z);
  // R's columns: the toy's axes in the world
  f.r0 = v3(1, 0, 0); f.r1 = v3(0, 1, 0); f.r2 = v3(0, 0, 1);
  turn(f.r2, f.r0, yaw);     // forward turns towards +x
  turn(f.r1, f.r2, pitch);   // up turns forward
  turn(f.r1, f.r0, -roll);   // positive roll leans to -x
  if (pitch != 0.f) f.pos.y += .05f * pitch;
  float midY = reach * .5f, high = midY * f.tall, out = hi(f.boxHi.x, hi(f.boxHi.z, -f.boxLo.z)) * f.wide;
  f.boundR = sqrtf(high * high + out * out);
  { float q = f.boxHi.y * f.boxHi.y, x0 = f.bendX * q, z0 = f.bendZ * q; // bending leans the box over
    f.boxLo = f.boxLo + v3(lo(x0, 0.f), 0.f, lo(z0, 0.f)); f.boxHi = f.boxHi + v3(hi(x0, 0.f), 0.f, hi(z0, 0.f)); }
  f.bound = f.pos + f.r1 * (midY * f.tall);
  // light
  float az = (st[LIGHT_AZIMUTH] * 2.f - 1.f), el = .62f + .38f * st[LIGHT_HEIGHT];
  az = (az < 0.f ? -1.f : 1.f) * (.45f + .65f * fabsf(az));
  f.sun = norm(v3(sinf(az) * cosf(el), sinf(el), cosf(az) * cosf(el)));
  f.rim = norm(v3(az > 0.f ? -.75f : .75f, .45f, -.6f));
  // camera
  float dist = 4.55f + .3f * (st[CLOSENESS] * 2.f - 1.f), caz = (st[CAMERA_AZIMUTH] * 2.f - 1.f) * .1f, ch = .95f + .4f * st[CAMERA_HEIGHT], tx = 0.f, sl = u - .5f;
  if (still) dist = 4.05f + .25f * (st[CLOSENESS] * 2.f - 1.f), caz *= 1.5f;
  else if (camera == PAN_LEFT) tx = -.46f * sl;
  else if (camera == PAN_RIGHT) tx = .46f * sl;
  else if (camera == ZOOM_IN) dist *= 1.12f - .32f * u;
  else if (camera == ORBIT) caz += way * .5f * sl;
  V target = v3(tx, .66f, 0.f);
  if (still) target.y = .5f * reach * f.tall - .02f;
  f.eye = v3(sinf(caz) * dist + tx * .35f, ch, cosf(caz) * dist);
  f.lens = .262f;
  f.ahead = norm(target - f.eye); f.right = norm(cross(f.ahead, v3(0, 1, 0))); f.up = cross(f.right, f.ahead);
  // eyes look half ahead, half at the camera
  V to = norm(f.eye - f.bound), loc = v3(dot(to, f.r0), dot(to, f.r1), dot(to, f.r2));
  if (loc.z < .25f) loc = v3(loc.x > 0.f ? .5f : -.5f, 0.f, .85f);
  f.look = norm(v3(clampf(loc.x * .75f, -.42f, .42f), clampf(loc.y * .6f, -.2f, .25f), 1.f));
  f.glint = v3(f.sun.x > 0.f ? .24f : -.24f, .3f, 0.f);
  // where it is on the picture
  V mid = f.bound - f.eye;
  float depth = dot(mid, f.ahead);
  f.onX = .5f + .5f * dot(mid, f.right) / (depth * f.lens); f.onY = .5f - .5f * dot(mid, f.up) / (depth * f.lens); f.onH = .5f * reach * f.tall / (depth * f.lens);
}
