"""RAFT's updates of the flow (Teed & Deng 2020, section 3.3), on the weights of torchvision's modules.

A gate of the recurrent unit is a convolution of hidden state, context and motion together, and so the sum of one of
each. The context is the same in every update: its part, a third of raft-large's gates, is computed once. Two gates of
the three see the same, and are one convolution. All is laid out channels last, which convolutions on a CPU take as it
is. Sums are taken in another order than torchvision's, and so its values are met to within rounding.
"""

import torch
import torch.nn.functional as F
from torchvision.models.optical_flow.raft import ConvGRU, UpdateBlock


class Updates:
    """The update block of a network, for any number of pairs."""

    def __init__(self, block: UpdateBlock, encoded: int) -> None:
        """block: on its device and in its dtype. encoded: channels of the context encoder: hidden state and context."""
        self._motion, self._head = block.motion_encoder, block.flow_head
        for part in (self._motion, self._head):
            part.to(memory_format=torch.channels_last)
        self.hidden: int = block.hidden_state_size
        unit = block.recurrent_block
        self._gates = [
            _Gates(each, encoded - self.hidden) for each in (unit.convgru1, unit.convgru2) if isinstance(each, ConvGRU)
        ]

    def fixed(self, context: torch.Tensor) -> list[torch.Tensor]:
        """What the context (N, C, h, w) adds to the gates, in every update."""
        return [gates.fixed(context) for gates in self._gates]

    def step(
        self, hidden: torch.Tensor, fixed: list[torch.Tensor], found: torch.Tensor, flow: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The next hidden state, and what to add to the flow.

        hidden: (N, C, h, w). fixed: see there. found: correlation around where the flow (N, 2, h, w) leads.
        """
        seen = torch.cat([hidden, self._motion(flow, found)], 1)
        for gates, own in zip(self._gates, fixed, strict=True):
            hidden = gates(hidden, seen, own)
        return hidden, self._head(hidden)


class _Gates:
    """One gated recurrent unit: z how much is new, r how much of the old the new is made from, q the new."""

    def __init__(self, unit: ConvGRU, context: int) -> None:
        self._hidden, self._padding = unit.convz.out_channels, unit.convz.padding
        weight = torch.cat([unit.convz.weight, unit.convr.weight, unit.convq.weight])
        of_hidden, self._of_context, of_motion = weight.tensor_split([self._hidden, self._hidden + context], 1)
        self._bias = torch.cat([unit.convz.bias, unit.convr.bias, unit.convq.bias])
        seen = torch.cat([of_hidden, of_motion], 1).contiguous(memory_format=torch.channels_last)
        self._z_and_r, self._q = seen.tensor_split([2 * self._hidden])

    def fixed(self, context: torch.Tensor) -> torch.Tensor:
        return F.conv2d(context, self._of_context, self._bias, padding=self._padding)

    def __call__(self, hidden: torch.Tensor, seen: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
        # seen: room for the hidden state, which is written into it; then the motion.
        kept, width = seen[:, : self._hidden], 2 * self._hidden
        kept.copy_(hidden)
        z, r = torch.sigmoid_(F.conv2d(seen, self._z_and_r, padding=self._padding).add_(fixed[:, :width])).chunk(2, 1)
        kept.mul_(r)
        q = torch.tanh_(F.conv2d(seen, self._q, padding=self._padding).add_(fixed[:, width:]))
        return torch.lerp(hidden, q, z)
