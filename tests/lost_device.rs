//! Devices that are lost during training: errors, the state that the host knows, and continuation on a new device.

use std::time::Duration;

use ketformer::gpu::Gpu;
use ketformer::kernels::RandomInputs;
use ketformer::vmc::{Budget, Checkpoint, Optimizer, StochasticReconfiguration};
use ketformer::{ErrorKind, Lattice, Metropolis, Model, Ptf, Rbm, Rydberg, TrainConfig, Trainer, wgpu};

/// Total number of steps.
const STEPS: u64 = 40;
/// Steps between two checkpoints.
const INTERVAL: u64 = 5;

fn ptf() -> Ptf {
    Ptf { width: 16, heads: 4, feed_forward: 32, ..Ptf::default() }
}

/// Wave functions and optimizers with different states.
fn kinds() -> [(Box<dyn Model>, Optimizer); 2] {
    let rbm = Rbm { sampling: Metropolis { burn_in: 4, sweeps: 2, ..Metropolis::default() }, ..Rbm::default() };
    let settings = StochasticReconfiguration { momentum: 0.9, ..StochasticReconfiguration::default() };
    [
        (Box::new(ptf()), Optimizer::Adam),
        (Box::new(rbm), Optimizer::StochasticReconfiguration(settings.with_lambda(0.1))),
    ]
}

fn trainer(gpu: &Gpu, model: &dyn Model, optimizer: Optimizer) -> ketformer::Result<Trainer> {
    let config = TrainConfig { samples: 32, optimizer, learning_rate: 1e-2, seed: 3, ..TrainConfig::default() };
    Trainer::new(gpu, &Lattice::square(4, 4), &Rydberg::default(), model, config)
}

/// Takes steps up to [`STEPS`], with checkpoints. Adds the energies of the steps to `energies`.
fn train(trainer: &mut Trainer, energies: &mut Vec<f64>) -> ketformer::Result<Checkpoint> {
    loop {
        let checkpoint = trainer.checkpoint()?;
        energies.truncate(checkpoint.step as usize);
        if checkpoint.step == STEPS {
            return Ok(checkpoint);
        }
        for report in trainer.steps(INTERVAL) {
            energies.push(report?.energy);
        }
    }
}

/// Devices are destroyed at random moments. `KETFORMER_LOST_DEVICES` sets their number.
#[test]
fn training_continues_on_a_new_device_to_the_same_bits() {
    let all = std::env::var("KETFORMER_LOST_DEVICES").map_or(3, |number| number.parse().unwrap());
    let mut random = RandomInputs::new(5);
    let mut lost = 0;
    let undisturbed = kinds().map(|(model, optimizer)| {
        let whole = || {
            let mut energies = Vec::new();
            let mut trainer = trainer(&Gpu::new().unwrap(), &*model, optimizer).unwrap();
            let begun = std::time::Instant::now();
            let checkpoint = train(&mut trainer, &mut energies).unwrap();
            (checkpoint, energies, begun.elapsed().as_millis() as u32 + 1)
        };
        // The first device also compiles the kernels, which the driver keeps for the devices after it.
        whole();
        whole()
    });
    for round in 0.. {
        if lost >= all {
            break;
        }
        assert!(round < 20 * (all + 1), "devices are not lost");
        let kind = round as usize % 2;
        let (model, optimizer) = &kinds()[kind];
        let (whole, expected, time) = &undisturbed[kind];
        let mut gpu = Gpu::new().unwrap();
        let mut trainer = trainer(&gpu, &**model, *optimizer).unwrap();
        let mut energies = Vec::new();
        // Every state that is lost here is one that the host knows.
        trainer.checkpoint().unwrap();
        let found = loop {
            if lost < all {
                let (device, delay) = (gpu.device().clone(), random.integers(1, *time)[0]);
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(delay.into()));
                    device.destroy();
                });
            }
            let error = match train(&mut trainer, &mut energies) {
                Ok(checkpoint) if checkpoint.step == STEPS => break checkpoint,
                Ok(_) => unreachable!("train ends at the last step"),
                Err(error) => error,
            };
            lost += 1;
            assert!(gpu.is_lost(), "{error}");
            assert_eq!(error.kind(), ErrorKind::Device, "{error}");
            let said = error.to_string();
            assert!(said.contains("device was lost") && !said.contains('\n'), "{said}");
            let checkpoint = trainer.checkpoint().unwrap();
            gpu = gpu.reopen().unwrap();
            trainer = self::trainer(&gpu, &**model, *optimizer).unwrap();
            trainer.restore(&checkpoint).unwrap();
        };
        assert!(found == *whole, "round {round}: other weights");
        assert_eq!(energies, *expected, "round {round}");
    }
}

#[test]
fn a_device_of_the_caller_gives_one_clear_error_and_the_newest_known_state() {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).unwrap();
    for knows_state in [false, true] {
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap();
        let gpu = Gpu::from_device(&device, &queue);
        let mut trainer = trainer(&gpu, &ptf(), Optimizer::Adam).unwrap();
        trainer.steps(3).for_each(|report| assert!(report.is_ok()));
        let known = knows_state.then(|| trainer.checkpoint().unwrap());
        assert!(!gpu.is_lost());
        let mut steps = trainer.steps(1000);
        steps.next().unwrap().unwrap();
        device.destroy();
        let error = steps.find_map(Result::err).unwrap();
        let said = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Device);
        assert!(said.contains("device was lost after step") && !said.contains('\n'), "{said}");
        assert!(gpu.is_lost());
        let again = trainer.steps(1).next().unwrap().unwrap_err().to_string();
        assert!(again.contains("device was lost after step"), "{again}");
        match known {
            Some(known) => {
                assert!(said.contains("Trainer::checkpoint returns the state after step 3"), "{said}");
                assert!(trainer.checkpoint().unwrap() == known);
            }
            None => {
                let error = trainer.checkpoint().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Device);
                assert!(error.to_string().contains("no state of this trainer was read before"), "{error}");
            }
        }
        let error = gpu.reopen().unwrap_err().to_string();
        assert!(error.contains("Gpu::from_device"), "{error}");
    }
}

#[test]
fn a_device_that_is_lost_between_frames_gives_one_clear_error() {
    for (model, optimizer) in kinds() {
        let gpu = Gpu::new().unwrap();
        let mut trainer = trainer(&gpu, &*model, optimizer).unwrap();
        let known = trainer.checkpoint().unwrap();
        let mut frame = || {
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            trainer.advance(&mut encoder, Budget::milliseconds(1.0))?;
            gpu.queue().submit([encoder.finish()]);
            trainer.poll().map(|_| ())
        };
        (0..20).for_each(|_| frame().unwrap());
        gpu.device().destroy();
        let error = (0..10_000_000).find_map(|_| frame().err()).expect("an error of a lost device");
        assert_eq!(error.kind(), ErrorKind::Device);
        assert!(error.to_string().contains("Trainer::checkpoint returns the state after step 0"), "{error}");
        assert!(frame().unwrap_err().to_string().contains("call Trainer::restore"));
        assert!(trainer.checkpoint().unwrap() == known);
    }
}
