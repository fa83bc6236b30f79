import torch

from slm_espnet.asr.conv_encoder import ConvEncoder
from slm_espnet.asr.spec_augment import VtlpSpecAug, warp_matrix


def encoder(**options) -> ConvEncoder:
    torch.manual_seed(0)
    made = ConvEncoder(8, output_size=16, hidden_size=24, dilations=[1, 2, 4], context_blocks=[1], **options)
    for context in made.contexts.values():
        torch.nn.init.normal_(context.weight, 0, 0.3)
    return made


def test_output_does_not_depend_on_batch_or_padding():
    model = encoder(compute_dtype="float32").eval()
    speech = [torch.randn(n, 8) for n in (50, 31, 2)]
    batch = torch.full((3, 64, 8), 7.0)  # padding that would be heard if anything looked at it
    for row, one in zip(batch, speech, strict=True):
        row[: len(one)] = one
    together, lengths, _ = model(batch, torch.tensor([50, 31, 2]))
    assert lengths.tolist() == [17, 11, 1]
    for index, one in enumerate(speech):
        alone, _, _ = model(one[None], torch.tensor([len(one)]))
        assert torch.allclose(together[index, : lengths[index]], alone[0], atol=1e-5)


def test_intermediate_output_and_length_are_what_espnet_expects():
    model = encoder(interctc_layer_idx=[2]).eval()
    (frames, intermediate), lengths, state = model(torch.randn(2, 30, 8), torch.tensor([30, 20]))
    assert state is None and lengths.tolist() == [10, 7]
    assert frames.shape == intermediate[0][1].shape == (2, 10, model.output_size())
    assert intermediate[0][0] == 2 and frames.dtype == torch.float32


def test_far_frames_reach_each_other_only_through_dilation_and_context():
    model = encoder(compute_dtype="float32").eval()
    torch.nn.init.zeros_(model.contexts["1"].weight)
    speech = torch.randn(1, 120, 8)
    moved = speech.clone()
    moved[0, 117], moved[0, 119] = speech[0, 119], speech[0, 117]  # a swap keeps the utterance's variance
    before, after = (model(x, torch.tensor([120]))[0][0] for x in (speech, moved))
    changed = (before - after).abs().amax(-1) > 1e-3
    reach = 1 + 1 + 2 + 4  # groups: the stacking and three dilations
    assert changed[-1] and not changed[: 40 - reach - 1].any()


def test_trains_in_bfloat16_with_float32_weights():
    model = encoder(dropout_rate=0.1)
    speech, target = torch.randn(4, 30, 8), torch.randn(4, 10, 16)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    losses = []
    for _ in range(40):
        loss = (model(speech, torch.full((4,), 30))[0] - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert losses[-1] < 0.6 * losses[0]


def test_spec_augment_masks_with_the_mean_and_leaves_padding():
    torch.manual_seed(0)
    features = torch.randn(6, 60, 16)
    lengths = torch.tensor([60, 50, 40, 30, 20, 60])
    augmented, same = VtlpSpecAug(16, warp=0, freq_mask_width=8, time_mask_width=20, time_mask_share=0.5)(
        features.clone(), lengths
    )
    assert torch.equal(same, lengths)
    for index, length in enumerate(lengths.tolist()):
        changed = augmented[index] != features[index]
        assert not changed[length:].any()
        mean = features[index, :length].mean(0).expand_as(features[index])
        assert torch.allclose(augmented[index][changed], mean[changed], atol=1e-5)
    share = (augmented != features).float().mean()
    assert 0.1 < share < 0.8


def test_warp_moves_bands_and_keeps_flat_spectra():
    ramp = torch.arange(16.0)
    assert torch.allclose(ramp @ warp_matrix(16, 1.0), ramp)
    assert torch.allclose(ramp @ warp_matrix(16, 0.5), ramp / 2)
    assert torch.allclose(torch.ones(16) @ warp_matrix(16, 1.1), torch.ones(16))


def test_the_task_knows_encoder_and_augmentation():
    from slm_espnet.asr.task import encoder_choices, specaug_choices

    assert encoder_choices.get_class("conv") is ConvEncoder
    assert specaug_choices.get_class("vtlp_specaug") is VtlpSpecAug
