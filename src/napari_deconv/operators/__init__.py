"""Forward models H of the microscope, and the transforms they are made of."""
