"""The installable packages and the `signs` command.

Dependencies are not listed here: they are locked in requirements/, and which lock is installed
depends on the machine. `kubeflow/` is never installed, since an SDK on the package index has that
name.
"""

from setuptools import find_packages, setup

_ROOMS = (
    "components",
    "data",
    "drawing",
    "model_server",
    "modules",
    "pipeline",
    "serving",
    "trust",
)

setup(
    name="signs-pipeline",
    version="0.3.0",
    description="SIGNS images in, a blessed ResNet50 out: a TFX pipeline",
    author="The SIGNS pipeline authors",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    classifiers=[
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Operating System :: POSIX :: Linux",
        "Operating System :: MacOS",
    ],
    packages=find_packages(
        include=[f"{package}{suffix}" for package in _ROOMS for suffix in ("", ".*")]
    ),
    package_data={
        "components.run_page": ["*.html", "style.css"],
        "data": ["schema/*.pbtxt"],
        "pipeline.monitoring": ["page.html"],
        "model_server.page": ["index.html", "static/*"],
        "serving": ["batching.txt"],
    },
    entry_points={
        "console_scripts": [
            "signs = pipeline.commands.__main__:main",
            "signs-model-server = model_server.__main__:main",
            "signs-engine-worker = data.engine.worker:main",
        ]
    },
)
