"""The snippets of the five tutorials, as written for PyTorch, by tutorial and title."""

FIRST = {
    "a tensor of sizes": """
        import torch
        pytorch_tensor = torch.Tensor(10, 20)
        print("type: ", type(pytorch_tensor), " and size: ", pytorch_tensor.shape)
        """,
    "to NumPy and back": """
        import torch
        numpy_tensor = torch.Tensor(10, 20).numpy()
        print("type: ", type(numpy_tensor), " and size: ", numpy_tensor.shape)
        print("type: ", type(torch.Tensor(numpy_tensor)), torch.Tensor(numpy_tensor).shape)
        """,
    "creation": """
        import numpy as np
        import torch
        t = torch.rand(2, 4, 3, 5)
        a = np.random.rand(2, 4, 3, 5)
        print(t.shape, a.shape, bool(((t >= 0) & (t < 1)).all()))
        """,
    "slices": """
        import torch
        t = torch.arange(120.0).view(2, 4, 3, 5) / 100
        a = t.numpy()
        pytorch_slice = t[0, 1:3, :, 4]
        numpy_slice = a[0, 1:3, :, 4]
        print("Tensor[0, 1:3, :, 4]:", pytorch_slice)
        print("NdArray[0, 1:3, :, 4]:", numpy_slice)
        """,
    "masks": """
        import torch
        t = torch.arange(12.0).view(3, 4) / 12
        t = t - 0.5
        a = t.numpy()
        print(t[t > 0])
        print(a[a > 0])
        """,
    "reshaping": """
        import torch
        t = torch.rand(2, 4, 3, 5)
        a = t.numpy()
        pytorch_reshape, numpy_reshape = t.view([6, 5, 4]), a.reshape([6, 5, 4])
        print(pytorch_reshape.shape, (pytorch_reshape.numpy() == numpy_reshape).all())
        """,
}

SECOND = {
    "1 tensor": """
        import torch
        tensor = torch.tensor([[1, 2, 3], [4, 5, 6]])
        print(tensor)
        """,
    "2 autograd": """
        import torch
        x = torch.tensor([2.0], requires_grad=True)
        y = x ** 2
        y.backward()
        print(x.grad)
        """,
    "3 dynamic graph": """
        import torch
        x = torch.tensor([1.0], requires_grad=True)
        y = x * 2
        for _ in range(3):
            y = y * x
        y.backward()
        print(x.grad)
        """,
    "4 module": """
        import torch
        import torch.nn as nn
        class SimpleModel(nn.Module):
            def __init__(self):
                super(SimpleModel, self).__init__()
                self.linear = nn.Linear(1, 1)
            def forward(self, x):
                return self.linear(x)
        model = SimpleModel()
        print(model)
        """,
    "5 loss": """
        import torch
        import torch.nn as nn
        criterion = nn.MSELoss()
        y_pred = torch.tensor([1.0])
        y_true = torch.tensor([2.0])
        loss = criterion(y_pred, y_true)
        print(loss)
        """,
    "6 optimizer": """
        import torch
        import torch.nn as nn
        model = nn.Linear(1, 1)
        with torch.no_grad():
            model.weight.fill_(0.5)
            model.bias.fill_(0.25)
        criterion = nn.MSELoss()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        optimizer.zero_grad()
        loss = criterion(model(torch.tensor([1.0])), torch.tensor([2.0]))
        loss.backward()
        optimizer.step()
        print(loss, model.weight, model.bias)
        """,
    "7 data": """
        import torch
        from torch.utils.data import DataLoader, TensorDataset
        data = TensorDataset(
            torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[2.0], [4.0], [6.0]])
        )
        dataloader = DataLoader(data, batch_size=2, shuffle=False)
        for inputs, targets in dataloader:
            print(inputs, targets)
        shuffled = DataLoader(data, batch_size=2, shuffle=True)
        print(sorted(value for inputs, _ in shuffled for value in inputs.flatten().tolist()))
        """,
    "8 save and load": """
        import os
        import tempfile
        import torch
        import torch.nn as nn
        model, other = nn.Linear(2, 1), nn.Linear(2, 1)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.pth")
            torch.save(model.state_dict(), path)
            print(other.load_state_dict(torch.load(path)))
        print(all((a == b).all().item() for a, b in zip(model.parameters(), other.parameters())))
        """,
    "9 transforms": """
        from torchvision import transforms
        import numpy as np
        transform = transforms.Compose([
            transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))
        ])
        image = transform(np.arange(12, dtype=np.uint8).reshape(3, 4, 1) * 20)
        print(image.shape, image)
        """,
    "10 device": """
        import torch
        import torch.nn as nn
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model = nn.Linear(1, 1)
        model.to(device)
        inputs, targets = torch.ones(2, 1), torch.ones(2, 1)
        inputs = inputs.to(device)
        targets = targets.to(device)
        outputs = model(inputs)
        print(outputs.shape, outputs.device.type == device.type)
        """,
    "handwritten digits": """
        import torch
        import torch.nn as nn
        import torch.nn.functional as F
        import torch.optim as optim
        from torch.utils.data import DataLoader, TensorDataset
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        class CNN(nn.Module):
            def __init__(self):
                super(CNN, self).__init__()
                self.conv1 = nn.Conv2d(1, 16, kernel_size=3, stride=1, padding=1)
                self.pool = nn.MaxPool2d(kernel_size=2, stride=2, padding=0)
                self.fc1 = nn.Linear(16 * 14 * 14, 128)
                self.fc2 = nn.Linear(128, 10)
            def forward(self, x):
                x = self.pool(F.relu(self.conv1(x)))
                x = x.view(-1, 16 * 14 * 14)
                x = F.relu(self.fc1(x))
                x = self.fc2(x)
                return x
        # Two clearly different images stand for the data set, which would have to be downloaded.
        images = torch.zeros(16, 1, 28, 28)
        images[::2, :, :14] = 1.0
        dataset = TensorDataset(images, torch.arange(16) % 2)
        train_loader = DataLoader(dataset, batch_size=8, shuffle=True)
        test_loader = DataLoader(dataset, batch_size=8, shuffle=False)
        model = CNN().to(device)
        criterion = nn.CrossEntropyLoss()
        optimizer = optim.Adam(model.parameters(), lr=0.001)
        for epoch in range(5):
            for inputs, labels in train_loader:
                inputs, labels = inputs.to(device), labels.to(device)
                optimizer.zero_grad()
                outputs = model(inputs)
                loss = criterion(outputs, labels)
                loss.backward()
                optimizer.step()
        model.eval()
        correct = 0
        total = 0
        with torch.no_grad():
            for inputs, labels in test_loader:
                inputs, labels = inputs.to(device), labels.to(device)
                outputs = model(inputs)
                _, predicted = torch.max(outputs.data, 1)
                total += labels.size(0)
                correct += (predicted == labels).sum().item()
        print(f'Accuracy: {100 * correct / total:.2f}%')
        print(model)
        """,
}

THIRD = {
    "sizes, data, parts and broadcasting": """
        import numpy as np
        import torch
        print(torch.Tensor(5, 3).shape, torch.Tensor(5, 3).type())
        x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        print(torch.from_numpy(np.eye(2)), torch.tensor([1, 2])[0])
        x[0, 1] = 7
        print(x, x + torch.tensor([10.0, 20.0]))
        """,
    "the graph from the result to the leaves": """
        import torch
        x = torch.tensor(3.0, requires_grad=True)
        y = x * x + 1
        y.backward()
        print(y, x.grad, y.grad_fn.next_functions[0][0].name())
        """,
}

FOURTH = {
    "random": """
        import torch
        x = torch.rand(4, 3)
        print(x)
        """,
    "zeros": """
        import torch
        x = torch.zeros(4, 3, dtype=torch.long)
        print(x)
        print(torch.zero_(x) if hasattr(torch, "zero_") else x, torch.zeros_like(x))
        """,
    "from data": """
        import torch
        x = torch.tensor([5.5, 3])
        print(x)
        """,
    "like another": """
        import torch
        x = torch.tensor([5.5, 3])
        x = x.new_ones(4, 3, dtype=torch.double)
        print(x)
        x = torch.randn_like(x, dtype=torch.float)
        print(x.size())
        print(x.shape, x.dtype)
        """,
    "the table of makers": """
        import torch
        print(torch.Tensor(2, 3).shape, torch.ones(2), torch.zeros(2), torch.eye(2))
        print(torch.arange(1, 10, 2), torch.linspace(0, 1, 5), torch.rand(2, 3).shape)
        print(torch.randn(2, 3).shape, torch.normal(0.0, 1.0, (2, 3)).shape)
        print(sorted(torch.randperm(6).tolist()))
        """,
    "addition": """
        import torch
        x = torch.arange(12.0).view(4, 3)
        y = torch.ones(4, 3)
        print(x + y)
        print(torch.add(x, y))
        y.add_(x)
        print(y)
        """,
    "indexing shares memory": """
        import torch
        x = torch.tensor([[2.7311, -0.072, 0.2497], [-2.3141, 0.0666, -0.5934]])
        print(x[:, 1])
        y = x[0, :]
        y += 1
        print(y)
        print(x[0, :])
        """,
    "item": """
        import torch
        x = torch.randn(1)
        print(type(x))
        print(type(x.item()))
        """,
    "broadcasting": """
        import torch
        x = torch.arange(1, 3).view(1, 2)
        print(x)
        y = torch.arange(1, 4).view(3, 1)
        print(y)
        print(x + y)
        """,
    "backward of a number": """
        import torch
        def gradient(*args):
            x = torch.ones(2, 2, requires_grad=True)
            y = x + 2
            z = y * y * 3
            out = z.mean()
            out.backward(*args)
            return out, x.grad
        print(gradient())
        print(gradient(torch.tensor(1.)))
        """,
}

FIFTH = {
    "a tensor to receive results": """
        import torch
        x = torch.Tensor(2, 3, 4)
        print(x.size())
        a = torch.ones(2, 3, 4)
        b = torch.full((2, 3, 4), 0.25)
        _ = torch.add(a, b, out=x)
        print(x)
        a.add_(b)
        print(a)
        print(isinstance(torch.cuda.is_available(), bool))
        """,
    "variables": """
        import torch
        from torch.autograd import Variable
        x = torch.rand(5)
        x = Variable(x, requires_grad=True)
        y = x * 2
        grads = torch.FloatTensor([1, 2, 3, 4, 5])
        y.backward(grads)
        print(x.grad)
        """,
    "numpy shares memory": """
        import numpy as np
        import torch
        a = np.ones(5)
        b = torch.from_numpy(a)
        np.add(a, 1, out=a)
        print(a)
        print(b)
        a_ = b.numpy()
        print(a_ is a or a_.ctypes.data == a.ctypes.data)
        x, y = torch.ones(2), torch.ones(2)
        if torch.cuda.is_available():
            x = x.cuda()
            y = y.cuda()
        print((x + y).cpu())
        """,
    "sizes or data": """
        import torch
        print(torch.Tensor(1, 2, 3).shape)
        print(torch.Tensor([1, 2, 3]))
        """,
    "a network": """
        import torch
        import torch.nn as nn
        import torch.nn.functional as F
        import torch.optim as optim
        from torch.autograd import Variable
        class Net(nn.Module):
            def __init__(self):
                super(Net, self).__init__()
                self.conv1 = nn.Conv2d(1, 6, 5)
                self.conv2 = nn.Conv2d(6, 16, 5)
                self.fc1 = nn.Linear(16*5*5, 120)
                self.fc2 = nn.Linear(120, 84)
                self.fc3 = nn.Linear(84, 10)
            def forward(self, x):
                x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
                x = F.max_pool2d(F.relu(self.conv2(x)), 2)
                x = x.view(-1, self.num_flat_features(x))
                x = F.relu(self.fc1(x))
                x = F.relu(self.fc2(x))
                x = self.fc3(x)
                return x
            def num_flat_features(self, x):
                size = x.size()[1:]
                num_features = 1
                for s in size:
                    num_features *= s
                return num_features
        net = Net()
        print(net)
        print(len(list(net.parameters())))
        input = Variable(torch.randn(1, 1, 32, 32))
        out = net(input)
        print(out.shape)
        out.backward(torch.randn(1, 10))
        learning_rate = 0.01
        before = net.fc3.bias.data.clone()
        for f in net.parameters():
            f.data.sub_(f.grad.data * learning_rate)
        print(torch.allclose(before - net.fc3.bias.grad * learning_rate, net.fc3.bias.data))
        optimizer = optim.SGD(net.parameters(), lr=0.01)
        criterion = nn.MSELoss()
        target = torch.zeros(1, 10)
        losses = []
        for i in range(5):
            optimizer.zero_grad()
            loss = criterion(net(input), target)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(losses[-1] < losses[0])
        """,
}

TUTORIALS = {"first": FIRST, "second": SECOND, "third": THIRD, "fourth": FOURTH, "fifth": FIFTH}
