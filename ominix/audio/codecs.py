"""The decoders that FFmpeg may open, by its names: whatever people record, send or archive sound in.

Left out: video, game consoles' own codecs, and the ones that make up sound or silence (wavesynth, anull).
A name that the bundled FFmpeg does not have does no harm.
"""

from __future__ import annotations

_MPEG = "aac aac_latm als mp1 mp1float mp2 mp2float mp3 mp3float mp3adu mp3adufloat mp3on4 mp3on4float"
_INTERNET = "opus vorbis speex flac"
_FILMS = (
    "ac3 eac3 dca truehd mlp s302m dvaudio dolby_e pcm_bluray pcm_dvd smackaud binkaudio_dct binkaudio_rdft"
)
_LOSSLESS = "alac wavpack ape tta tak shorten ralf dst dsd_lsbf dsd_lsbf_planar dsd_msbf dsd_msbf_planar"
_WINDOWS = "wmav1 wmav2 wmapro wmavoice wmalossless msnsiren metasound truespeech imc iac xma1 xma2"
_MUSIC = "mpc7 mpc8 atrac1 atrac3 atrac3al atrac3plus atrac3plusal twinvq sbc aptx aptx_hd qoa on2avc dfpwm"
_REAL = "cook sipr real_144 real_288 qdm2 qdmc mace3 mace6 nellymoser acelp.kelvin"
_TELEPHONE = "amrnb amrwb gsm gsm_ms g722 g723_1 g726 g726le g728 g729 ilbc qcelp evrc siren dss_sp"
_ADPCM = (
    "adpcm_ct adpcm_g722 adpcm_ima_alp adpcm_ima_amv adpcm_ima_apm adpcm_ima_dk3 adpcm_ima_dk4 adpcm_ima_oki "
    "adpcm_ima_qt adpcm_ima_smjpeg adpcm_ima_ssi adpcm_ima_wav adpcm_ima_ws adpcm_ms adpcm_sanyo "
    "adpcm_sbpro_2 adpcm_sbpro_3 adpcm_sbpro_4 adpcm_swf adpcm_xa adpcm_yamaha adpcm_adx"
)
_PLAIN = (
    "pcm_alaw pcm_mulaw pcm_vidc pcm_u8 pcm_s8 pcm_s8_planar pcm_u16be pcm_u16le pcm_u24be pcm_u24le "
    "pcm_u32be pcm_u32le pcm_s16be pcm_s16be_planar pcm_s16le pcm_s16le_planar pcm_s24be pcm_s24daud "
    "pcm_s24le pcm_s24le_planar pcm_s32be pcm_s32le pcm_s32le_planar pcm_s64be pcm_s64le pcm_f16le "
    "pcm_f24le pcm_f32be pcm_f32le pcm_f64be pcm_f64le pcm_lxf 8svx_exp 8svx_fib"
)
DECODERS = frozenset(
    name
    for group in (_MPEG, _INTERNET, _FILMS, _LOSSLESS, _WINDOWS, _MUSIC, _REAL, _TELEPHONE, _ADPCM, _PLAIN)
    for name in group.split()
)
