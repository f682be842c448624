"""Cheaper, equal forms of three steps of diffusers' AutoencoderKLCogVideoX, for training only.

Nearest resizing commutes with 1x1x1 convolutions, so the norm's scale and shift are made small and then resized; a causal convolution of a
single frame (its own past, repeated) is a 2-D convolution by the kernel summed over time; and one over many frames can be a 2-D convolution
over three frames' channels stacked, which cuDNN runs faster than a 3-D one of few channels.
"""
import torch
import torch.nn.functional as F
from diffusers.models.autoencoders import autoencoder_kl_cogvideox as upstream

STACKED = False  # 2-D convolution over stacked frames
LAST = False     # channels-last memory


def _convolve(self, inputs, conv_cache=None):
    conv, k = self.conv, self.time_kernel_size
    if k == 1:
        return conv(inputs), None
    if inputs.shape[2] == 1 and conv_cache is None:
        x = inputs[:, :, 0]
        if LAST: x = x.contiguous(memory_format=torch.channels_last)
        return F.conv2d(x, conv.weight.sum(2), conv.bias, padding=conv.padding[1:])[:, :, None], inputs.expand(-1, -1, k - 1, -1, -1)
    past = [conv_cache] if conv_cache is not None else [inputs[:, :, :1]] * (k - 1)
    padded = torch.cat(past + [inputs], 2)
    cache = padded[:, :, 1 - k:]
    if not STACKED:
        return conv(padded), cache
    b, c, t, h, w = inputs.shape
    if LAST:
        rows = padded.permute(0, 2, 3, 4, 1)  # [b, t + k - 1, h, w, c], a view in channels-last memory
        x = torch.cat([rows[:, i:i + t] for i in range(k)], -1).reshape(b * t, h, w, k * c).permute(0, 3, 1, 2)
    else:
        rows = padded.transpose(1, 2)
        x = torch.cat([rows[:, i:i + t] for i in range(k)], 2).reshape(b * t, k * c, h, w)
    weight = conv.weight.transpose(1, 2).reshape(conv.weight.shape[0], k * c, *conv.weight.shape[3:])
    y = F.conv2d(x, weight, conv.bias, padding=conv.padding[1:])
    return y.view(b, t, -1, h, w).transpose(1, 2), cache


def _spatial_norm(self, f, zq, conv_cache=None):
    def spread(z):
        if f.shape[2] > 1 and f.shape[2] % 2 == 1:
            return torch.cat([F.interpolate(z[:, :, :1], size=(1, *f.shape[-2:])), F.interpolate(z[:, :, 1:], size=(f.shape[2] - 1, *f.shape[-2:]))], 2)
        return F.interpolate(z, size=f.shape[-3:])
    return torch.addcmul(spread(self.conv_b.conv(zq)), self.norm_layer(f), spread(self.conv_y.conv(zq))), {}


def install(stacked=False, last=False):
    global STACKED, LAST
    STACKED, LAST = stacked, last
    upstream.CogVideoXCausalConv3d.forward = _convolve
    upstream.CogVideoXSpatialNorm3D.forward = _spatial_norm


def laid_out(x):
    """A clip [b, 3, t, h, w] in the memory order that was installed."""
    return x.contiguous(memory_format=torch.channels_last_3d) if LAST else x
