"""What every training stage shares: processes and GPUs, one flat parameter buffer, and a clock that all processes read alike."""
import os
import time

import torch
import torch.distributed as dist


class Place:
    """This process among its peers. One process per GPU (torchrun); a single process on a machine without one."""

    def __init__(self):
        self.rank, self.size = int(os.environ.get('RANK', 0)), int(os.environ.get('WORLD_SIZE', 1))
        self.cuda = torch.cuda.is_available()
        self.device = torch.device('cuda', int(os.environ.get('LOCAL_RANK', 0))) if self.cuda else torch.device('cpu')
        self.dtype = torch.bfloat16 if self.cuda else torch.float32  # of the work; masters are float32
        if self.cuda:
            torch.cuda.set_device(self.device)
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
            torch.backends.cudnn.benchmark = True; torch.backends.cudnn.benchmark_limit = 4
        if self.size > 1 and not dist.is_initialized():
            dist.init_process_group('nccl' if self.cuda else 'gloo', device_id=self.device if self.cuda else None)
        self.started = time.time()

    def group(self, ranks):
        return dist.new_group(ranks) if self.size > 1 else None

    def say(self, *words, everyone=False):
        if everyone or self.rank == 0:
            print(f'[{time.time() - self.started:6.1f}s r{self.rank}]', *words, flush=True)

    def mean(self, tensor, group=None):
        """In place: the mean over the processes of `group`."""
        if self.size > 1 and (group is None or dist.get_world_size(group) > 1):
            dist.all_reduce(tensor, group=group)
            tensor /= dist.get_world_size(group)
        return tensor

    def gather(self, value):
        """Every process's picklable value, on every process."""
        if self.size == 1: return [value]
        out = [None] * self.size
        dist.all_gather_object(out, value)
        return out

    def wait(self):
        if self.size > 1: dist.barrier()


class Clock:
    """Fraction of the allowed minutes that has passed, the same on all processes; read from the clocks every tenth step."""

    def __init__(self, place, minutes, group=None, steps=None):
        self.place, self.minutes, self.steps, self.group = place, minutes, steps, group
        self.start, self.fraction, self.step = time.time(), 0.0, 0

    def seconds(self): return time.time() - self.start

    def tick(self):
        """Advances one step; False when the time, or the number of steps, is spent."""
        if self.steps is not None:
            self.fraction = self.step / self.steps
        elif self.step % 10 == 0:
            t = torch.tensor([self.seconds() / (self.minutes * 60)], device=self.place.device)
            self.fraction = float(self.place.mean(t, self.group))
        self.step += 1
        return self.fraction < 1.0

    def rate(self, peak, warm, hold, floor=0.02):
        """Learning rate: linear warm-up over `warm` steps, level until the fraction `hold`, then down linearly."""
        return peak * min(1.0, self.step / warm) * (1.0 if self.fraction < hold else max(floor, (1 - self.fraction) / (1 - hold)))


class Flat:
    """Parameters as views into one buffer: one reduction, one norm, one optimizer kernel and one average for all of them.

    Master weights and moments are float32; the modules work in the place's dtype. Views start at multiples of 64 elements: unaligned
    weights cost the matrix kernels their speed.
    """

    def __init__(self, params, place, betas=(0.9, 0.98), weight_decay=0.01, group=None, masters=None):
        self.place, self.group, self.params = place, group, [p for p in params]
        self.spans, n = [], 0
        for p in self.params:
            self.spans.append((n, p.numel())); n += -(-p.numel() // 64) * 64
        master = torch.zeros(n, device=place.device)
        for p, (o, m) in zip(masters or self.params, self.spans): master[o:o + m] = p.detach().float().flatten()
        if place.size > 1 and (group is None or dist.get_world_size(group) > 1): dist.broadcast(master, 0, group=group)
        dtype = self.params[0].dtype
        self.work, self.grad = master.to(dtype), torch.zeros(n, device=place.device, dtype=dtype)
        for p, (o, m) in zip(self.params, self.spans):
            p.data, p.grad = self.work[o:o + m].view(p.shape), self.grad[o:o + m].view(p.shape)
        self.master = torch.nn.Parameter(master); self.average = master.clone()
        self.optimizer = torch.optim.AdamW([self.master], lr=0.0, betas=betas, weight_decay=weight_decay, fused=place.cuda)
        self.steps = 0

    def step(self, rate, decay=0.999, clip=1.0):
        """Reduces the gradients, clips them by their norm, steps, averages, and clears them. A step that is not finite is left out."""
        g = self.place.mean(self.grad.float(), self.group)
        norm = g.norm()
        g = torch.where(torch.isfinite(norm), g * torch.clamp(clip / (norm + 1e-6), max=1.0), torch.zeros_like(g))
        self.master.grad = g
        for row in self.optimizer.param_groups: row['lr'] = rate
        self.optimizer.step()
        with torch.no_grad():
            self.steps += 1
            self.average.lerp_(self.master.detach(), 1 - min(decay, (1 + self.steps) / (10 + self.steps)))
            self.work.copy_(self.master)
        self.grad.zero_()
        return norm

    def views(self, flat): return [flat[o:o + m].view(p.shape) for p, (o, m) in zip(self.params, self.spans)]

    @torch.no_grad()
    def use_average(self):
        """Puts the averaged weights into the modules (the end of a stage)."""
        self.work.copy_(self.average)
        self.master.data.copy_(self.average)

    def named(self, module):
        """The averaged weights of a module whose parameters are in here, float32, by name."""
        at = {id(p): i for i, p in enumerate(self.params)}
        views = self.views(self.average)
        return {k: views[at[id(p)]] for k, p in module.named_parameters()}
